-- A reference table, like partitions: who is there to share them.
CREATE TABLE workers (
    owner   text        NOT NULL PRIMARY KEY,
    seen_at timestamptz NOT NULL
) WITH (fillfactor = 25);
COMMENT ON TABLE workers IS 'The workers that are there; each computes from it how many partitions are its share';
COMMENT ON COLUMN workers.owner IS 'A worker process, named as in partitions';
COMMENT ON COLUMN workers.seen_at IS 'Its last sign of life';
