-- The history as it is today. A new file is made by this; an older one gets the steps in migrations/.
-- Columns are only ever added. All times are UTC. `at` is half a keyword in DuckDB 2: write r.at or "at".

CREATE TABLE runs (                 -- one request that was answered, or failed
  "at" TIMESTAMP NOT NULL,          -- when it ended
  task_id VARCHAR,                  -- empty where no queue was between
  worker VARCHAR, session VARCHAR, queue VARCHAR,
  browser VARCHAR, browser_build VARCHAR, driver VARCHAR, os VARCHAR, adapter VARCHAR,
  is_software BOOLEAN,              -- NULL where the browser hides what it is
  webinfer_version VARCHAR,
  fingerprint VARCHAR,              -- see fingerprints.py; its parts are the columns beside it
  family VARCHAR, model VARCHAR, revision VARCHAR, precision VARCHAR, backend VARCHAR, kernel VARCHAR,
  batch_size INTEGER,               -- items that ran together, other requests' included
  queue_ms DOUBLE, load_ms DOUBLE, compile_ms DOUBLE, warmup_ms DOUBLE, compute_ms DOUBLE,
  readback_ms DOUBLE, bridge_ms DOUBLE, total_ms DOUBLE,
  memory_mb DOUBLE,
  ok BOOLEAN, error_code VARCHAR,
  is_simulation BOOLEAN,
  routing_reason VARCHAR,
  flags JSON,                       -- what ran: compute_shaders, precompile_shaders, ...
  broker_ms DOUBLE,                 -- from sending to the worker's receipt; total_ms begins there
  preprocess_ms DOUBLE, postprocess_ms DOUBLE
);

CREATE TABLE runs_hourly (          -- what is left of runs that are too old to be kept one by one
  "at" TIMESTAMP NOT NULL,          -- the hour's beginning
  browser VARCHAR, browser_build VARCHAR, driver VARCHAR, os VARCHAR, adapter VARCHAR, is_software BOOLEAN,
  webinfer_version VARCHAR, fingerprint VARCHAR,
  family VARCHAR, model VARCHAR, revision VARCHAR, precision VARCHAR, backend VARCHAR,
  batch_size INTEGER, flags JSON,
  n BIGINT, n_failed BIGINT,
  compute_p50_ms DOUBLE, compute_p95_ms DOUBLE, service_p50_ms DOUBLE, service_p95_ms DOUBLE,
  total_p50_ms DOUBLE, total_p95_ms DOUBLE, memory_p50_mb DOUBLE
);

CREATE TABLE loads (                -- one model opened on one backend, or refused by it
  "at" TIMESTAMP NOT NULL,
  worker VARCHAR, session VARCHAR, browser VARCHAR, browser_build VARCHAR, backend VARCHAR,
  model VARCHAR, revision VARCHAR, precision VARCHAR,
  load_ms DOUBLE, compile_ms DOUBLE, warmup_ms DOUBLE, weight_bytes BIGINT,
  ok BOOLEAN, error_code VARCHAR
);

CREATE TABLE connections (          -- what became of a session
  "at" TIMESTAMP NOT NULL,
  worker VARCHAR, session VARCHAR, browser VARCHAR, browser_build VARCHAR,
  event VARCHAR,                    -- opened, closed, died, recycled, reconnected, demoted
  reason VARCHAR
);

CREATE TABLE health (               -- a session looked at now and then
  "at" TIMESTAMP NOT NULL,
  worker VARCHAR, session VARCHAR, browser VARCHAR,
  score DOUBLE, breaker VARCHAR,
  queued INTEGER, running INTEGER,  -- of the whole worker, respectively of this session
  memory_mb DOUBLE, models JSON, factors JSON,
  sharing JSON                      -- counts of its lanes' shared graphs and results; NULL where they hold none
);

CREATE TABLE capabilities (         -- what a browser was found to be able to do: when it changed
  "at" TIMESTAMP NOT NULL,
  browser VARCHAR, browser_build VARCHAR, feature VARCHAR, value VARCHAR
);

CREATE TABLE scaling (              -- a decision to have more or fewer sessions (pool) or workers (queue)
  "at" TIMESTAMP NOT NULL,
  scope VARCHAR, name VARCHAR, action VARCHAR, n_from INTEGER, n_to INTEGER,
  reason VARCHAR, factors JSON, dry_run BOOLEAN
);

CREATE TABLE alerts (
  "at" TIMESTAMP NOT NULL,
  key VARCHAR, severity VARCHAR, title VARCHAR, text VARCHAR, state VARCHAR
);

CREATE TABLE routing (              -- every change of the published routing table
  "at" TIMESTAMP NOT NULL,
  model VARCHAR, family VARCHAR, browser VARCHAR, backend VARCHAR, precision VARCHAR,
  score DOUBLE, share DOUBLE, reason VARCHAR
);

CREATE TABLE changes (              -- regressions and improvements that were found
  "at" TIMESTAMP NOT NULL,
  series JSON, metric VARCHAR, changed_at TIMESTAMP,
  before DOUBLE, after DOUBLE, effect DOUBLE, p_value DOUBLE,
  severity VARCHAR, direction VARCHAR, smallest_visible DOUBLE,
  cause VARCHAR,                    -- what of the environment changed with it; empty: nothing did
  note VARCHAR,
  sample_s DOUBLE,                  -- the spacing of the samples that showed it
  n_before INTEGER, n_after INTEGER
);

CREATE TABLE experiments (          -- one run of compare, gate, matrix or load
  "at" TIMESTAMP NOT NULL,          -- when it ended
  kind VARCHAR, model VARCHAR, verdict VARCHAR,
  fingerprint VARCHAR,              -- of the machine: webinfer/bench/laboratory/machine.py
  os VARCHAR, webinfer_version VARCHAR,
  document JSON                     -- the whole of it: docs/laboratory.md has the schema
);

CREATE TABLE drained (              -- how far a stream has been read: written together with its rows
  stream VARCHAR PRIMARY KEY, last_id VARCHAR NOT NULL
);

CREATE TABLE sources (              -- how many rows each emitting process has sent, and how many never came
  source VARCHAR PRIMARY KEY, n_rows BIGINT NOT NULL, n_dropped BIGINT NOT NULL, "at" TIMESTAMP NOT NULL
);
