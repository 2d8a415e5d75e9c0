-- Commands that could not be applied, set aside so that their partition goes on.
CREATE TABLE dead_letters (
    slot           smallint    NOT NULL,
    dead_letter_id bigint      NOT NULL GENERATED ALWAYS AS IDENTITY,
    request_id     uuid        NOT NULL,
    log_seq        bigint      NOT NULL,
    action         text        NOT NULL,
    command        bytea       NOT NULL,
    error          text        NOT NULL,
    tries          integer     NOT NULL CHECK (tries > 0),
    failed_at      timestamptz NOT NULL,
    settled_at     timestamptz,
    is_applied     boolean,
    PRIMARY KEY (slot, dead_letter_id),
    UNIQUE (slot, request_id, log_seq),
    CONSTRAINT settled_one_way CHECK ((settled_at IS NULL) = (is_applied IS NULL))
);
COMMENT ON TABLE dead_letters IS 'Commands that could not be applied, until an operator retries or drops them';
COMMENT ON COLUMN dead_letters.request_id IS 'The command; those that Holdfast says to itself share one id';
COMMENT ON COLUMN dead_letters.log_seq IS 'Where it stood in the log';
COMMENT ON COLUMN dead_letters.action IS 'What it asked for';
COMMENT ON COLUMN dead_letters.command IS 'The command as it stood in the log';
COMMENT ON COLUMN dead_letters.error IS 'Why it could not be applied, when it was tried last';
COMMENT ON COLUMN dead_letters.tries IS 'How often it was tried alone';
COMMENT ON COLUMN dead_letters.is_applied IS 'Whether it was applied after all; otherwise it was dropped';
