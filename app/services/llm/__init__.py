"""Language models: settings and their history, prices, the usage log, alerts, learned templates."""
