"""Sending messages: mail, SMS and WhatsApp, and the development mailbox."""
