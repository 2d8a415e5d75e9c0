-- Customers and payments, sealed: a column that is found by keeps a blind index then, and the text itself lies sealed beside it.

ALTER TABLE holds ADD customer_sealed text;
ALTER TABLE orders ADD customer_sealed text, ADD payment_sealed text;
ALTER TABLE payments ADD payment_sealed text;
ALTER TABLE idempotency_keys ADD is_blind boolean NOT NULL DEFAULT false;
ALTER TABLE workers ADD sealing_key text;
COMMENT ON COLUMN holds.customer_id IS 'Who buys, when the shop said so; a blind index of it where customer_sealed is set';
COMMENT ON COLUMN holds.customer_sealed IS 'Who buys, sealed: a control character, the name of the key, a colon, base64';
COMMENT ON COLUMN orders.customer_id IS 'As of its hold';
COMMENT ON COLUMN orders.customer_sealed IS 'As of its hold';
COMMENT ON COLUMN orders.payment_id IS
    'The payment that paid it, as its provider names it; a blind index of it where payment_sealed is set';
COMMENT ON COLUMN orders.payment_sealed IS 'The payment that paid it, sealed like customers';
COMMENT ON COLUMN payments.payment_id IS
    'As its provider names it; a blind index of it where payment_sealed is set';
COMMENT ON COLUMN payments.payment_sealed IS 'As its provider names it, sealed like customers';
COMMENT ON COLUMN idempotency_keys.is_blind IS 'Whether both hashes are keyed ones, from which nobody can guess what was hashed';
COMMENT ON COLUMN workers.sealing_key IS 'The name of the key by which it seals; null when it writes plain text';

-- Both are reference tables, like partitions.
CREATE TABLE encryption (
    one         boolean NOT NULL PRIMARY KEY DEFAULT true CHECK (one),
    index_check bytea   NOT NULL,
    is_whole    boolean NOT NULL
);
COMMENT ON TABLE encryption IS 'One row once customers and payments are sealed, or are to be';
COMMENT ON COLUMN encryption.index_check IS 'By what the index key is known again';
COMMENT ON COLUMN encryption.is_whole IS 'Whether everything is sealed; programs do not start before';

CREATE TABLE encryption_keys (
    name        text        NOT NULL PRIMARY KEY,
    key_check   bytea       NOT NULL,
    known_since timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE encryption_keys IS 'The keys by which values may be sealed; programs do not start without one of them';
COMMENT ON COLUMN encryption_keys.key_check IS 'By what the key is known again, beside its name';

INSERT INTO audit_kinds VALUES (60, 'customer.forgotten', NULL, NULL, NULL);
