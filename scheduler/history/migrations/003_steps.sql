ALTER TABLE runs ADD COLUMN preprocess_ms DOUBLE;
ALTER TABLE runs ADD COLUMN postprocess_ms DOUBLE;
