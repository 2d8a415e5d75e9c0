-- Outgoing events: how far each partition's audit has been published, and events that a receiver did not take.

CREATE TABLE events_sent (
    partition smallint NOT NULL PRIMARY KEY,
    audit_id  bigint   NOT NULL
) WITH (fillfactor = 25);
COMMENT ON TABLE events_sent IS 'How far the audit of each partition is published as events; a partition without a row sends none';
COMMENT ON COLUMN events_sent.audit_id IS 'All of its rows up to this one are on the stream, and perhaps more';

CREATE TABLE event_dead_letters (
    slot           smallint    NOT NULL,
    event_id       text        NOT NULL,
    receiver       text        NOT NULL,
    host           text        NOT NULL,
    type           text        NOT NULL,
    body           text        NOT NULL,
    error          text        NOT NULL,
    tries          bigint      NOT NULL CHECK (tries > 0),
    failed_at      timestamptz NOT NULL,
    retry_asked_at timestamptz,
    PRIMARY KEY (slot, event_id, receiver)
);
CREATE INDEX event_dead_letters_asked ON event_dead_letters (retry_asked_at) WHERE retry_asked_at IS NOT NULL;
COMMENT ON TABLE event_dead_letters IS 'Events that a receiver of EVENT_URLS did not take in time, until an operator retries or drops them';
COMMENT ON COLUMN event_dead_letters.event_id IS 'The event''s id, the same at every receiver';
COMMENT ON COLUMN event_dead_letters.receiver IS 'The receiver: a hash of its URL, which may hold a secret';
COMMENT ON COLUMN event_dead_letters.host IS 'The host of that URL';
COMMENT ON COLUMN event_dead_letters.type IS 'What happened';
COMMENT ON COLUMN event_dead_letters.body IS 'The event as it is posted';
COMMENT ON COLUMN event_dead_letters.error IS 'Why it was not taken, when it was tried last';
COMMENT ON COLUMN event_dead_letters.tries IS 'How often it was posted';
COMMENT ON COLUMN event_dead_letters.failed_at IS 'When it was given up last';
COMMENT ON COLUMN event_dead_letters.retry_asked_at IS 'When an operator asked to have it posted once more';
