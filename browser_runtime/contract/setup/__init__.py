"""Set-up of the machine: settings from the environment, installed extras, proxies, what to install."""
