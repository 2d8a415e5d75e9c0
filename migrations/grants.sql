-- The roles of ingress and worker, and their rights. `holdfast migrate` applies this file after the migrations; it may run
-- again and again. An operator grants one of the roles to the user that a program connects as. `holdfast` itself connects as
-- the owner of the tables.

DO $$
DECLARE role_name text;
BEGIN
    FOREACH role_name IN ARRAY ARRAY['holdfast_ingress', 'holdfast_worker'] LOOP
        IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = role_name) THEN
            -- Roles are shared by all databases of the server: another migration may create the role at the same moment.
            BEGIN
                EXECUTE format('CREATE ROLE %I NOLOGIN', role_name);
            EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL;
            END;
        END IF;
    END LOOP;
    EXECUTE format('GRANT USAGE ON SCHEMA %I TO holdfast_ingress, holdfast_worker', current_schema());
END $$;

GRANT SELECT ON _sqlx_migrations TO holdfast_ingress, holdfast_worker;

-- The ingress reads the tables that it serves, and takes ids for new products.
GRANT SELECT ON products, holds, orders, payments, outcomes, idempotency_keys, partitions, dead_letters, audit_kinds,
    audit, audit_trail TO holdfast_ingress;
GRANT USAGE ON SEQUENCE product_ids TO holdfast_ingress;

-- The worker writes business rows. It has no right to delete from products, orders, payments (I8) and audit, because their
-- rows are never removed.
GRANT SELECT, INSERT, UPDATE ON products, orders, payments, partitions TO holdfast_worker;
GRANT SELECT, INSERT, UPDATE, DELETE ON holds, outcomes, idempotency_keys, workers, dead_letters TO holdfast_worker;
-- The worker can only add to the audit, and cannot set the time of a row: Postgres sets it.
GRANT SELECT ON audit_kinds, audit, audit_trail TO holdfast_worker;
GRANT INSERT (slot, product_id, partition, log_seq, available_before, held_before, sold_before, kind, actor, request_id,
    subject, quantity, sequence, available_after, held_after, sold_after, detail) ON audit TO holdfast_worker;
GRANT EXECUTE ON FUNCTION prune_audit TO holdfast_worker;

-- Outgoing events.
GRANT SELECT ON event_dead_letters TO holdfast_ingress;
GRANT SELECT, INSERT, UPDATE ON events_sent TO holdfast_worker;
GRANT SELECT, INSERT, UPDATE, DELETE ON event_dead_letters TO holdfast_worker;

-- The names and checksums of the keys that encrypt customers and payments.
GRANT SELECT ON encryption, encryption_keys TO holdfast_ingress, holdfast_worker;
