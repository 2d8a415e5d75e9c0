-- Products, holds and how they came to be. `slot` comes first in every key, so that all rows of one product lie together
-- and a distributed Postgres can share them out by it. The numbers I1 to I8 are the invariants of ARCHITECTURE.md.

CREATE TYPE hold_status AS ENUM ('active', 'consumed', 'released', 'expired');

CREATE TABLE products (
    slot             smallint    NOT NULL CHECK (slot BETWEEN 0 AND 4095),
    product_id       bigint      NOT NULL CHECK (product_id > 0),
    name             text        NOT NULL,
    price_minor      bigint      NOT NULL CHECK (price_minor >= 0),
    currency         text        NOT NULL CHECK (length(currency) = 3),
    total_stock      bigint      NOT NULL,
    available_stock  bigint      NOT NULL,
    held_stock       bigint      NOT NULL,
    sold_stock       bigint      NOT NULL,
    holds_count      bigint      NOT NULL CHECK (holds_count >= 0),
    max_per_customer integer     CHECK (max_per_customer > 0),
    sale_starts_at   timestamptz,
    sale_ends_at     timestamptz,
    hold_sequence    bigint      NOT NULL,
    version          bigint      NOT NULL,
    updated_at       timestamptz NOT NULL,
    PRIMARY KEY (slot, product_id),
    CONSTRAINT i1_conservation CHECK (
        total_stock = available_stock + held_stock + sold_stock
        AND available_stock >= 0 AND held_stock >= 0 AND sold_stock >= 0
    )
    -- A hot product's row is updated in place again and again: room on its page keeps that cheap (HOT updates).
) WITH (fillfactor = 25);
CREATE INDEX products_by_id ON products (product_id);
COMMENT ON TABLE products IS 'What is on sale, one row a product';
COMMENT ON COLUMN products.slot IS 'Hash of product_id, 0 to 4095; never changes';
COMMENT ON COLUMN products.price_minor IS 'Price of one unit in minor units of the currency';
COMMENT ON COLUMN products.currency IS 'ISO 4217 code';
COMMENT ON COLUMN products.available_stock IS 'Units on sale';
COMMENT ON COLUMN products.held_stock IS 'Units promised and not paid for: active holds and unpaid orders';
COMMENT ON COLUMN products.sold_stock IS 'Units paid for';
COMMENT ON COLUMN products.holds_count IS 'How many holds are active';
COMMENT ON COLUMN products.max_per_customer IS 'The most units one customer may have held or ordered; null is no limit';
COMMENT ON COLUMN products.sale_starts_at IS 'Holds are refused before this; null is no start';
COMMENT ON COLUMN products.sale_ends_at IS 'Holds are refused from this on; null is no end';
COMMENT ON COLUMN products.hold_sequence IS 'The sequence of the last hold that took effect';
COMMENT ON COLUMN products.version IS 'Rises with every change of the row';
COMMENT ON COLUMN products.updated_at IS 'The time of the batch that changed the row last';

CREATE SEQUENCE product_ids AS bigint;
COMMENT ON SEQUENCE product_ids IS 'Gives out product numbers';

CREATE TABLE holds (
    slot        smallint    NOT NULL,
    hold_id     uuid        NOT NULL,
    product_id  bigint      NOT NULL,
    quantity    integer     NOT NULL CHECK (quantity BETWEEN 1 AND 10000),
    customer_id text,
    price_minor bigint      NOT NULL,
    currency    text        NOT NULL,
    status      hold_status NOT NULL,
    sequence    bigint      NOT NULL CHECK (sequence > 0),
    created_at  timestamptz NOT NULL,
    expires_at  timestamptz NOT NULL,
    ended_at    timestamptz,
    PRIMARY KEY (slot, hold_id),
    CONSTRAINT i2_ended_once CHECK ((status = 'active') = (ended_at IS NULL))
);
COMMENT ON TABLE holds IS 'Units set aside for buyers; a row is also the outcome of the command with its id';
COMMENT ON COLUMN holds.hold_id IS 'The id of the request that made the hold, and of the order that consumes it';
COMMENT ON COLUMN holds.price_minor IS 'Price of one unit when the hold was made, in minor units';
COMMENT ON COLUMN holds.sequence IS 'Rises strictly, for each product, in the order in which holds took effect (I6)';
COMMENT ON COLUMN holds.expires_at IS 'From then on the hold is expired, whatever its status says';
COMMENT ON COLUMN holds.ended_at IS 'When the hold left active (I2); null while it is';

CREATE TABLE outcomes (
    slot       smallint    NOT NULL,
    request_id uuid        NOT NULL,
    replayed   boolean     NOT NULL,
    outcome    json        NOT NULL,
    created_at timestamptz NOT NULL,
    PRIMARY KEY (slot, request_id)
);
COMMENT ON TABLE outcomes IS 'What became of each command (I4), refusals included; a hold that was made is in holds instead';
COMMENT ON COLUMN outcomes.replayed IS 'Whether the outcome is that of an earlier request with the same idempotency key';
COMMENT ON COLUMN outcomes.outcome IS 'The outcome as clients are told it, before it is rendered as HTTP';

CREATE TABLE idempotency_keys (
    slot        smallint    NOT NULL,
    endpoint    smallint    NOT NULL,
    key_hash    bytea       NOT NULL CHECK (length(key_hash) = 16),
    product_id  bigint      NOT NULL,
    fingerprint bytea       NOT NULL CHECK (length(fingerprint) = 16),
    request_id  uuid        NOT NULL,
    used_at     timestamptz NOT NULL,
    PRIMARY KEY (slot, endpoint, key_hash, product_id)
);
COMMENT ON TABLE idempotency_keys IS 'The first use of each idempotency key (I4)';
COMMENT ON COLUMN idempotency_keys.endpoint IS '1 create hold, 2 release hold, 3 restock';
COMMENT ON COLUMN idempotency_keys.key_hash IS 'First half of the SHA-256 of the key';
COMMENT ON COLUMN idempotency_keys.product_id IS 'The product, or 0 when the request named something of none';
COMMENT ON COLUMN idempotency_keys.fingerprint IS 'First half of the SHA-256 of the parsed request';
COMMENT ON COLUMN idempotency_keys.request_id IS 'The request whose outcome is replayed';

-- A reference table: on a distributed Postgres every node has a copy.
CREATE TABLE partitions (
    partition      smallint    NOT NULL PRIMARY KEY,
    owner          text,
    epoch          bigint      NOT NULL DEFAULT 0,
    lease_until    timestamptz NOT NULL DEFAULT '-infinity',
    stream_created timestamptz NOT NULL DEFAULT 'epoch',
    applied_seq    bigint      NOT NULL DEFAULT 0 CHECK (applied_seq >= 0)
) WITH (fillfactor = 25);
COMMENT ON TABLE partitions IS 'Who applies each partition, and how far it has come';
COMMENT ON COLUMN partitions.owner IS 'The worker that has it; null when it was given back';
COMMENT ON COLUMN partitions.epoch IS 'Rises with every owner; a batch commits only under its own';
COMMENT ON COLUMN partitions.lease_until IS 'From then on another worker may take it';
COMMENT ON COLUMN partitions.stream_created IS 'When the stream was made that applied_seq counts in; 1970 before the first';
COMMENT ON COLUMN partitions.applied_seq IS 'The last log sequence whose effects are committed';
