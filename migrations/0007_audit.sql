-- Who changed what. Rows are only ever added: one for each batch and product, with an array element for each change, so
-- that a hold costs some 60 bytes and no row of its own. The view `audit_trail` has a row for each change.

CREATE TABLE audit_kinds (
    kind         smallint PRIMARY KEY,
    name         text     NOT NULL,
    state_before text,
    state_after  text,
    reason       text
);
COMMENT ON TABLE audit_kinds IS 'What each number in audit.kind stands for; the same as AuditKind in the programs';
COMMENT ON COLUMN audit_kinds.state_before IS 'The state of what changed before; null when there was none or it may differ';
COMMENT ON COLUMN audit_kinds.state_after IS 'Its state afterwards';
COMMENT ON COLUMN audit_kinds.reason IS 'Why, where there are several reasons';
INSERT INTO audit_kinds VALUES
    (1, 'hold.created', NULL, 'active', NULL),
    (2, 'hold.consumed', 'active', 'consumed', NULL),
    (3, 'hold.released', 'active', 'released', NULL),
    (4, 'hold.expired', 'active', 'expired', NULL),
    (10, 'order.created', NULL, 'pending_payment', NULL),
    (11, 'order.paid', 'pending_payment', 'paid', NULL),
    (12, 'order.cancelled', 'pending_payment', 'cancelled', 'payment_failed'),
    (13, 'order.cancelled', 'pending_payment', 'cancelled', 'payment_timeout'),
    (14, 'order.reallocated', 'cancelled', 'pending_payment', NULL),
    (20, 'payment.parked', NULL, 'parked', NULL),
    (21, 'payment.unmatched', 'parked', 'unmatched', NULL),
    (22, 'payment.applied', NULL, 'applied', NULL),
    (23, 'payment.ignored', NULL, 'ignored', NULL),
    (24, 'payment.mismatch', NULL, 'refund_due', 'mismatch'),
    (25, 'payment.refund_due', NULL, 'refund_due', 'order_cancelled'),
    (26, 'payment.refund_due', NULL, 'refund_due', 'already_paid'),
    (27, 'payment.refund_due', NULL, 'refund_due', 'hold_ended'),
    (28, 'payment.refund_due', 'refund_requested', 'refund_due', 'asked_again'),
    (29, 'payment.refund_requested', 'refund_due', 'refund_requested', NULL),
    (30, 'payment.refunded', NULL, 'refunded', NULL),
    (40, 'product.created', NULL, NULL, NULL),
    (41, 'product.changed', NULL, NULL, NULL),
    (42, 'product.restocked', NULL, NULL, NULL),
    (43, 'product.repaired', NULL, NULL, NULL),
    (50, 'dead_letter.retried', 'waiting', 'retried', NULL),
    (51, 'dead_letter.dropped', 'waiting', 'dropped', NULL);

CREATE TABLE audit (
    slot             smallint    NOT NULL,
    product_id       bigint      NOT NULL,
    audit_id         bigint      NOT NULL GENERATED ALWAYS AS IDENTITY,
    partition        smallint    NOT NULL,
    log_seq          bigint      NOT NULL,
    at               timestamptz NOT NULL DEFAULT now(),
    available_before integer     NOT NULL,
    held_before      integer     NOT NULL,
    sold_before      integer     NOT NULL,
    kind             smallint[]  NOT NULL,
    actor            smallint[]  NOT NULL,
    request_id       uuid[]      NOT NULL,
    subject          uuid[]      NOT NULL,
    quantity         integer[]   NOT NULL,
    sequence         bigint[]    NOT NULL,
    available_after  integer[]   NOT NULL,
    held_after       integer[]   NOT NULL,
    sold_after       integer[]   NOT NULL,
    detail           jsonb,
    PRIMARY KEY (slot, product_id, audit_id)
);
-- A partition's rows in the order in which they were committed.
CREATE INDEX audit_by_partition ON audit (partition, audit_id);
-- Compressing them would cost four times what all else does.
ALTER TABLE audit ALTER kind SET STORAGE EXTERNAL, ALTER actor SET STORAGE EXTERNAL,
    ALTER request_id SET STORAGE EXTERNAL, ALTER subject SET STORAGE EXTERNAL, ALTER quantity SET STORAGE EXTERNAL,
    ALTER sequence SET STORAGE EXTERNAL, ALTER available_after SET STORAGE EXTERNAL,
    ALTER held_after SET STORAGE EXTERNAL, ALTER sold_after SET STORAGE EXTERNAL;
COMMENT ON TABLE audit IS 'Every change of state: a row for each batch and product, the arrays in step; see audit_trail';
COMMENT ON COLUMN audit.product_id IS 'The product, or 0 when what changed belongs to none that is known';
COMMENT ON COLUMN audit.audit_id IS 'Rises within a partition in the order of its batches';
COMMENT ON COLUMN audit.partition IS 'The partition whose batch it was';
COMMENT ON COLUMN audit.log_seq IS 'The log sequence up to which the batch applied';
COMMENT ON COLUMN audit.at IS 'When it was written: Postgres says so, nobody else may';
COMMENT ON COLUMN audit.available_before IS 'The product''s units on sale before the first of the changes';
COMMENT ON COLUMN audit.held_before IS 'Its units promised and not paid for, before';
COMMENT ON COLUMN audit.sold_before IS 'Its units paid for, before';
COMMENT ON COLUMN audit.kind IS 'What happened: see audit_kinds';
COMMENT ON COLUMN audit.actor IS '1 customer, 2 operator, 3 payment provider, 4 Holdfast itself';
COMMENT ON COLUMN audit.request_id IS 'The command; all zeros when Holdfast needed none';
COMMENT ON COLUMN audit.subject IS 'The hold, or the order of that id; all zeros when it is about the product';
COMMENT ON COLUMN audit.quantity IS 'Units of the hold or order, or units added';
COMMENT ON COLUMN audit.sequence IS 'The sequence of the hold, or of the product''s last one';
COMMENT ON COLUMN audit.available_after IS 'Units on sale after each change';
COMMENT ON COLUMN audit.held_after IS 'Units promised and not paid for, after each';
COMMENT ON COLUMN audit.sold_after IS 'Units paid for, after each';
COMMENT ON COLUMN audit.detail IS 'By the place of the change, from 1: what a product was sold as before and after';

CREATE VIEW audit_trail AS
SELECT slot, product_id, audit_id, entry::integer AS entry, at, partition, log_seq,
    CASE e.actor WHEN 1 THEN 'customer' WHEN 2 THEN 'operator' WHEN 3 THEN 'payment_provider' ELSE 'holdfast' END AS actor,
    kinds.name AS kind, kinds.state_before, kinds.state_after, kinds.reason,
    nullif(e.request_id, '00000000-0000-0000-0000-000000000000') AS request_id,
    nullif(e.subject, '00000000-0000-0000-0000-000000000000') AS subject, e.quantity, e.sequence,
    coalesce(audit.available_after[entry - 1], available_before) AS available_before,
    coalesce(audit.held_after[entry - 1], held_before) AS held_before,
    coalesce(audit.sold_after[entry - 1], sold_before) AS sold_before,
    e.available_after, e.held_after, e.sold_after, detail -> entry::text AS detail
FROM audit
CROSS JOIN LATERAL UNNEST(audit.kind, audit.actor, audit.request_id, audit.subject, audit.quantity, audit.sequence,
    audit.available_after, audit.held_after, audit.sold_after) WITH ORDINALITY
    AS e (kind, actor, request_id, subject, quantity, sequence, available_after, held_after, sold_after, entry)
JOIN audit_kinds kinds ON kinds.kind = e.kind;
COMMENT ON VIEW audit_trail IS 'The audit, a row for each change; within a product ordered by audit_id and entry';

-- No role can change what is there, its owner included; only what is older than any operator may keep it can go.
CREATE FUNCTION audit_is_kept() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'DELETE' THEN
        IF NOT EXISTS (SELECT FROM removed WHERE at > now() - interval '30 days') THEN
            RETURN NULL;
        END IF;
        RAISE EXCEPTION 'the audit keeps its rows for at least 30 days' USING ERRCODE = 'insufficient_privilege';
    END IF;
    RAISE EXCEPTION 'the audit is append-only' USING ERRCODE = 'insufficient_privilege';
END $$;
CREATE TRIGGER audit_is_kept AFTER DELETE ON audit REFERENCING OLD TABLE AS removed
    FOR EACH STATEMENT EXECUTE FUNCTION audit_is_kept();
CREATE TRIGGER audit_is_append_only BEFORE UPDATE OR TRUNCATE ON audit
    FOR EACH STATEMENT EXECUTE FUNCTION audit_is_kept();

-- Retention, for those who may not delete rows: it runs as the owner, and removes nothing younger than 30 days.
CREATE FUNCTION prune_audit(of_slot smallint, older_than_days integer, rows_max integer) RETURNS bigint
LANGUAGE sql SECURITY DEFINER AS $$
    WITH pruned AS (
        DELETE FROM audit WHERE slot = of_slot AND (product_id, audit_id) IN (
            SELECT product_id, audit_id FROM audit
            WHERE slot = of_slot AND at < now() - make_interval(days => greatest(older_than_days, 30))
            LIMIT rows_max)
        RETURNING 1)
    SELECT count(*) FROM pruned
$$;
-- A table of the caller's own must not stand in for ours while the owner's rights count.
DO $$ BEGIN EXECUTE format('ALTER FUNCTION prune_audit SET search_path = %I, pg_temp', current_schema()); END $$;
REVOKE ALL ON FUNCTION prune_audit FROM PUBLIC;
COMMENT ON FUNCTION prune_audit IS 'Removes rows of the audit that are older than so many days, and at least 30';
