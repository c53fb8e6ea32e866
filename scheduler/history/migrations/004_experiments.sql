CREATE TABLE experiments (          -- one run of compare, gate, matrix or load
  "at" TIMESTAMP NOT NULL,          -- when it ended
  kind VARCHAR, model VARCHAR, verdict VARCHAR,
  fingerprint VARCHAR,              -- of the machine: webinfer/bench/laboratory/machine.py
  os VARCHAR, webinfer_version VARCHAR,
  document JSON                     -- the whole of it: docs/laboratory.md has the schema
);
