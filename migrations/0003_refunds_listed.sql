-- Refunds that were requested are listed until somebody says that the money is back.
DROP INDEX payments_open;
CREATE INDEX payments_open ON payments (state, received_at)
    WHERE state IN ('parked', 'unmatched', 'refund_due', 'refund_requested');
