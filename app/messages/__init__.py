"""What carries messages to people: mail, SMS, WhatsApp, and the development mailbox."""
