"""What all routers and pages share: reading requests, finding out who asks, answering, forms, errors."""
