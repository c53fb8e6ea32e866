"""The page docs/compatibility.md, written from the allow-lists that the code itself decides by."""
