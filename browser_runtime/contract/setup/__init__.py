"""How the machine is set up: settings from the environment, installed extras, proxies, what to install."""
