-- Orders, the payments that settle them, and what is due.

CREATE TYPE order_status AS ENUM ('pending_payment', 'paid', 'cancelled');
CREATE TYPE cancel_reason AS ENUM ('payment_failed', 'payment_timeout');
CREATE TYPE refund_status AS ENUM ('none', 'due', 'requested', 'refunded');
CREATE TYPE payment_state AS ENUM
    ('parked', 'unmatched', 'applied', 'ignored', 'refund_due', 'refund_requested', 'refunded');
CREATE TYPE refund_reason AS ENUM ('order_cancelled', 'mismatch', 'already_paid', 'hold_ended');

-- What is due, across products: expiry looks for the few rows whose time has come.
CREATE INDEX holds_due ON holds (expires_at, slot, product_id) WHERE status = 'active';
-- What a customer has of a product, where it is limited.
CREATE INDEX holds_by_customer ON holds (slot, product_id, customer_id)
    WHERE customer_id IS NOT NULL AND status IN ('active', 'consumed');

CREATE TABLE orders (
    slot           smallint      NOT NULL,
    order_id       uuid          NOT NULL,
    product_id     bigint        NOT NULL,
    quantity       integer       NOT NULL CHECK (quantity BETWEEN 1 AND 10000),
    customer_id    text,
    amount_minor   bigint        NOT NULL CHECK (amount_minor >= 0),
    currency       text          NOT NULL,
    status         order_status  NOT NULL,
    cancel_reason  cancel_reason,
    payment_id     text,
    settled_at     timestamptz,
    refund_status  refund_status NOT NULL,
    payment_due_at timestamptz   NOT NULL,
    created_at     timestamptz   NOT NULL,
    PRIMARY KEY (slot, order_id),
    FOREIGN KEY (slot, order_id) REFERENCES holds (slot, hold_id),
    CONSTRAINT i3_one_state CHECK (
        (status = 'pending_payment') = (settled_at IS NULL)
        AND (status = 'paid') = (payment_id IS NOT NULL)
        AND (status = 'cancelled') = (cancel_reason IS NOT NULL)
    )
);
CREATE INDEX orders_due ON orders (payment_due_at, slot, product_id) WHERE status = 'pending_payment';
COMMENT ON TABLE orders IS 'Holds that their buyers are going to pay for';
COMMENT ON COLUMN orders.order_id IS 'The id of the hold that the order consumed';
COMMENT ON COLUMN orders.amount_minor IS 'What all units cost, in minor units, at the price of when the hold was made';
COMMENT ON COLUMN orders.payment_id IS 'The payment that paid it, as its provider names it';
COMMENT ON COLUMN orders.settled_at IS 'When it was paid or cancelled last';
COMMENT ON COLUMN orders.refund_status IS 'How far the refunds of its payments have come; the one furthest behind counts';
COMMENT ON COLUMN orders.payment_due_at IS 'From then on it is cancelled unless it was paid';

CREATE TABLE payments (
    slot          smallint      NOT NULL,
    order_id      uuid          NOT NULL,
    payment_id    text          NOT NULL,
    succeeded     boolean       NOT NULL,
    amount_minor  bigint,
    currency      text,
    state         payment_state NOT NULL,
    refund_reason refund_reason,
    arrival       integer       NOT NULL CHECK (arrival > 0),
    received_at   timestamptz   NOT NULL,
    PRIMARY KEY (slot, order_id, payment_id),
    CONSTRAINT i8_refund_has_a_reason CHECK (
        (state IN ('refund_due', 'refund_requested', 'refunded')) = (refund_reason IS NOT NULL)
    )
);
CREATE INDEX payments_open ON payments (state, received_at) WHERE state IN ('parked', 'unmatched', 'refund_due');
COMMENT ON TABLE payments IS 'Payments as their providers tell of them; none that succeeded is ever removed (I8)';
COMMENT ON COLUMN payments.order_id IS 'The order, or the hold that may become it, or an id that nothing has yet';
COMMENT ON COLUMN payments.succeeded IS 'Never goes back to false';
COMMENT ON COLUMN payments.arrival IS 'Its place among the payments of its order';
COMMENT ON COLUMN idempotency_keys.endpoint IS
    '1 create hold, 2 release hold, 3 restock, 4 create order, 5 payment webhook';
