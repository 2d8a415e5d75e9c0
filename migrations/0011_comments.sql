-- Comments of tables, columns, views and functions in plain words. Nothing else changes.

COMMENT ON TABLE products IS 'Products on sale, one row per product';
COMMENT ON COLUMN products.slot IS 'Hash of product_id, 0 to 4095; never changes';
COMMENT ON COLUMN products.price_minor IS 'Price of one unit, in minor units of the currency';
COMMENT ON COLUMN products.available_stock IS 'Units that can be held';
COMMENT ON COLUMN products.held_stock IS 'Units of active holds and unpaid orders';
COMMENT ON COLUMN products.sold_stock IS 'Units of paid orders';
COMMENT ON COLUMN products.holds_count IS 'Number of active holds';
COMMENT ON COLUMN products.max_per_customer IS 'Maximum units that one customer may hold and order together; null means no limit';
COMMENT ON COLUMN products.sale_starts_at IS 'Holds before this time are refused; null means no start';
COMMENT ON COLUMN products.sale_ends_at IS 'Holds from this time on are refused; null means no end';
COMMENT ON COLUMN products.hold_sequence IS 'Sequence of the newest hold of the product';
COMMENT ON COLUMN products.version IS 'Increases with every change of the row';
COMMENT ON COLUMN products.updated_at IS 'Time of the batch that last changed the row';
COMMENT ON SEQUENCE product_ids IS 'Ids of new products';

COMMENT ON TABLE holds IS 'Units reserved for buyers; a row is also the outcome of the request that created the hold';
COMMENT ON COLUMN holds.hold_id IS 'Id of the request that created the hold, and of the order that consumes it';
COMMENT ON COLUMN holds.customer_id IS 'Customer that the shop named; the blind index of the customer when customer_sealed is set';
COMMENT ON COLUMN holds.customer_sealed IS 'Encrypted customer: a control character, the name of the key, a colon, base64';
COMMENT ON COLUMN holds.price_minor IS 'Price of one unit when the hold was created, in minor units of the currency';
COMMENT ON COLUMN holds.sequence IS 'Position among the holds of the product, in the order in which they were created (I6)';
COMMENT ON COLUMN holds.expires_at IS 'From this time on the hold is expired, even when status is still active';
COMMENT ON COLUMN holds.ended_at IS 'Time at which the hold left the status active (I2); null while it is active';

COMMENT ON TABLE outcomes IS 'Outcome of each command (I4), refusals included; a created hold is in holds instead';
COMMENT ON COLUMN outcomes.replayed IS 'Whether the outcome belongs to an earlier request with the same idempotency key';
COMMENT ON COLUMN outcomes.outcome IS 'Outcome as JSON, before the ingress renders it as an HTTP response';

COMMENT ON TABLE idempotency_keys IS 'First use of each idempotency key (I4)';
COMMENT ON COLUMN idempotency_keys.key_hash IS 'First half of the SHA-256 of the key; of an HMAC when is_blind is set';
COMMENT ON COLUMN idempotency_keys.product_id IS 'Product of the request; 0 for payment webhooks and when the product was not known';
COMMENT ON COLUMN idempotency_keys.fingerprint IS 'First half of the SHA-256 of the parsed request; of an HMAC when is_blind is set';
COMMENT ON COLUMN idempotency_keys.request_id IS 'Request whose outcome is returned again';
COMMENT ON COLUMN idempotency_keys.is_blind IS
    'Whether both hashes are HMACs with the index key, so that the hashed texts cannot be guessed';

COMMENT ON TABLE partitions IS 'Owner and progress of each partition';
COMMENT ON COLUMN partitions.owner IS 'Worker process that owns the partition; null after it was released';
COMMENT ON COLUMN partitions.epoch IS 'Increases with every new owner; a batch commits only under the epoch that it started with';
COMMENT ON COLUMN partitions.lease_until IS 'End of the lease; from this time on another worker may take the partition';
COMMENT ON COLUMN partitions.stream_created IS 'Creation time of the stream that applied_seq belongs to; 1970 before the first stream';
COMMENT ON COLUMN partitions.applied_seq IS 'Sequence in the log up to which all effects are committed';

COMMENT ON TABLE orders IS 'Orders: holds that their buyers decided to pay for';
COMMENT ON COLUMN orders.order_id IS 'Id of the hold that the order consumed';
COMMENT ON COLUMN orders.customer_id IS 'Customer of the hold';
COMMENT ON COLUMN orders.customer_sealed IS 'Encrypted customer of the hold';
COMMENT ON COLUMN orders.amount_minor IS 'Price of all units when the hold was created, in minor units of the currency';
COMMENT ON COLUMN orders.payment_id IS
    'Payment that paid the order, as its provider names it; the blind index of that name when payment_sealed is set';
COMMENT ON COLUMN orders.payment_sealed IS 'Encrypted payment_id, in the form of holds.customer_sealed';
COMMENT ON COLUMN orders.settled_at IS 'Time at which the order was last paid or cancelled; null while it waits for payment';
COMMENT ON COLUMN orders.refund_status IS 'Status of the refund of its payments; of several refunds the least advanced one';
COMMENT ON COLUMN orders.payment_due_at IS 'From this time on an unpaid order is cancelled';

COMMENT ON TABLE payments IS 'Payments reported by payment providers; a successful payment is never removed (I8)';
COMMENT ON COLUMN payments.order_id IS 'Id of the order, of a hold that may become the order, or an id that does not exist yet';
COMMENT ON COLUMN payments.payment_id IS
    'Id of the payment at its provider; the blind index of that id when payment_sealed is set';
COMMENT ON COLUMN payments.payment_sealed IS 'Encrypted payment_id, in the form of holds.customer_sealed';
COMMENT ON COLUMN payments.succeeded IS 'Whether the payment succeeded; never changes back to false';
COMMENT ON COLUMN payments.arrival IS 'Position among the payments of the order, from 1';

COMMENT ON TABLE workers IS 'Running worker processes; each computes its share of the partitions from their number';
COMMENT ON COLUMN workers.owner IS 'Name of the worker process, as in partitions.owner';
COMMENT ON COLUMN workers.seen_at IS 'Time of the last heartbeat';
COMMENT ON COLUMN workers.sealing_key IS 'Name of the key that the process encrypts with; null when it writes plain text';

COMMENT ON TABLE dead_letters IS 'Commands that could not be applied, until an operator retries or drops them';
COMMENT ON COLUMN dead_letters.request_id IS 'Id of the command; internal commands of Holdfast share one id';
COMMENT ON COLUMN dead_letters.log_seq IS 'Sequence of its envelope in the log';
COMMENT ON COLUMN dead_letters.action IS 'Name of the requested action';
COMMENT ON COLUMN dead_letters.command IS 'The command as it was in the log';
COMMENT ON COLUMN dead_letters.error IS 'Error of the last attempt';
COMMENT ON COLUMN dead_letters.tries IS 'Number of attempts to apply the command alone';
COMMENT ON COLUMN dead_letters.is_applied IS 'Whether a retry applied the command; false means that it was dropped';
COMMENT ON FUNCTION expect_rows IS 'Returns true, or raises an error when the number of written rows is not the expected one';

COMMENT ON TABLE audit_kinds IS 'Meaning of each number in audit.kind; equal to AuditKind in the programs';
COMMENT ON COLUMN audit_kinds.state_before IS 'State before the change; null when there was none, or when it may differ';
COMMENT ON COLUMN audit_kinds.state_after IS 'State after the change';
COMMENT ON COLUMN audit_kinds.reason IS 'Reason of the change, for kinds that have several reasons';
COMMENT ON TABLE audit IS 'Every change of state: one row per batch and product, one array element per change; see audit_trail';
COMMENT ON COLUMN audit.product_id IS 'Product of the changes; 0 when they belong to no known product';
COMMENT ON COLUMN audit.audit_id IS 'Increases within a partition in the order of its batches';
COMMENT ON COLUMN audit.partition IS 'Partition of the batch';
COMMENT ON COLUMN audit.log_seq IS 'Sequence in the log up to which the batch applied';
COMMENT ON COLUMN audit.at IS 'Time of the row; set by Postgres, and no role may set it';
COMMENT ON COLUMN audit.available_before IS 'available_stock of the product before the first change';
COMMENT ON COLUMN audit.held_before IS 'held_stock of the product before the first change';
COMMENT ON COLUMN audit.sold_before IS 'sold_stock of the product before the first change';
COMMENT ON COLUMN audit.kind IS 'Kind of each change: see audit_kinds';
COMMENT ON COLUMN audit.actor IS '1 customer, 2 operator, 3 payment provider, 4 Holdfast itself';
COMMENT ON COLUMN audit.request_id IS 'Command of each change; all zeros when Holdfast changed the state without a command';
COMMENT ON COLUMN audit.subject IS 'Hold or order of each change; all zeros when the product itself changed';
COMMENT ON COLUMN audit.quantity IS 'Units of the hold or order, or units added to the product';
COMMENT ON COLUMN audit.sequence IS 'Sequence of the hold, or of the newest hold of the product';
COMMENT ON COLUMN audit.available_after IS 'available_stock of the product after each change';
COMMENT ON COLUMN audit.held_after IS 'held_stock of the product after each change';
COMMENT ON COLUMN audit.sold_after IS 'sold_stock of the product after each change';
COMMENT ON COLUMN audit.detail IS
    'By the position of the change, from 1: the name, price and limits of a product before and after the change';
COMMENT ON VIEW audit_trail IS 'The audit with one row per change; the changes of a product are ordered by audit_id and entry';
COMMENT ON FUNCTION prune_audit IS
    'Removes audit rows older than the given number of days, but none younger than 30 days; returns the number of rows';

COMMENT ON TABLE events_sent IS
    'Audit row up to which each partition has published events; a partition without a row publishes none';
COMMENT ON COLUMN events_sent.audit_id IS 'Events of all rows up to this one are on the stream; later ones may be there too';
COMMENT ON TABLE event_dead_letters IS
    'Events that a receiver of EVENT_URLS did not accept in time, until an operator retries or drops them';
COMMENT ON COLUMN event_dead_letters.event_id IS 'Id of the event, equal for all receivers';
COMMENT ON COLUMN event_dead_letters.receiver IS 'Hash of the URL of the receiver, because the URL may contain a secret';
COMMENT ON COLUMN event_dead_letters.host IS 'Host of that URL';
COMMENT ON COLUMN event_dead_letters.type IS 'Type of the event';
COMMENT ON COLUMN event_dead_letters.body IS 'Body of the request that posts the event';
COMMENT ON COLUMN event_dead_letters.error IS 'Error of the last attempt';
COMMENT ON COLUMN event_dead_letters.tries IS 'Number of attempts to post the event';
COMMENT ON COLUMN event_dead_letters.failed_at IS 'Time at which Holdfast last gave up posting the event';
COMMENT ON COLUMN event_dead_letters.retry_asked_at IS 'Time at which an operator requested another attempt; null without a request';

COMMENT ON TABLE encryption IS 'One row when customers and payments are encrypted, or when encrypting them has begun';
COMMENT ON COLUMN encryption.index_check IS 'Checksum of the index key; programs with another index key do not start';
COMMENT ON COLUMN encryption.is_whole IS 'Whether all values are encrypted; ingresses and workers do not start before';
COMMENT ON TABLE encryption_keys IS 'Keys that values may be encrypted with; programs that lack one of them do not start';
COMMENT ON COLUMN encryption_keys.key_check IS 'Checksum of the key, which distinguishes it from another key with the same name';
