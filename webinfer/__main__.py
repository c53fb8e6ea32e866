"""`python -m webinfer`."""

from webinfer.cli import main

main()
