//! The invariants of ARCHITECTURE.md as queries on the tables of a sale at rest. They share no code with the decision.

use sqlx::PgPool;

/// The invariants, each with a query that counts the rows that break it.
const VIOLATIONS: &[(&str, &str)] = &[
    (
        "I1: a product's counters are not the sums of its holds and orders",
        "SELECT count(*) FROM products p
         LEFT JOIN (SELECT product_id, sum(quantity) AS units, count(*) AS holds FROM holds WHERE status = 'active'
                    GROUP BY product_id) active USING (product_id)
         LEFT JOIN (SELECT product_id, sum(quantity) FILTER (WHERE status = 'pending_payment') AS promised,
                        sum(quantity) FILTER (WHERE status = 'paid') AS paid
                    FROM orders GROUP BY product_id) ordered USING (product_id)
         WHERE total_stock <> available_stock + held_stock + sold_stock
            OR available_stock < 0
            OR held_stock <> coalesce(active.units, 0) + coalesce(ordered.promised, 0)
            OR sold_stock <> coalesce(ordered.paid, 0)
            OR holds_count <> coalesce(active.holds, 0)",
    ),
    (
        "I2: a hold is consumed without an order, or an order's hold is not consumed",
        "SELECT count(*) FROM holds FULL JOIN orders ON orders.slot = holds.slot AND orders.order_id = holds.hold_id
         WHERE (coalesce(holds.status, 'released') = 'consumed') <> (orders.order_id IS NOT NULL)",
    ),
    (
        "I3: a paid order does not have exactly one applied payment, or the order of an applied payment is not paid",
        "SELECT count(*) FROM orders
         LEFT JOIN (SELECT slot, order_id, count(*) AS payments, min(payment_id) AS payment_id FROM payments
                    WHERE state = 'applied' AND succeeded GROUP BY slot, order_id) applied USING (slot, order_id)
         WHERE CASE WHEN orders.status = 'paid'
                    THEN applied.payments IS DISTINCT FROM 1 OR applied.payment_id <> orders.payment_id
                    ELSE applied.payments IS NOT NULL END",
    ),
    (
        "I4: an idempotency key has no outcome to replay",
        "SELECT count(*) FROM idempotency_keys keys
         WHERE NOT EXISTS (SELECT FROM outcomes o WHERE o.slot = keys.slot AND o.request_id = keys.request_id)
           AND NOT EXISTS (SELECT FROM holds h WHERE h.slot = keys.slot AND h.hold_id = keys.request_id)",
    ),
    (
        "I6: the sequences of a product's holds have a gap or a repeat",
        "SELECT count(*) FROM products p JOIN (
             SELECT product_id, count(*) AS holds, count(DISTINCT sequence) AS sequences, min(sequence) AS first,
                 max(sequence) AS last
             FROM holds GROUP BY product_id) h USING (product_id)
         WHERE first <> 1 OR last <> holds OR sequences <> holds OR p.hold_sequence <> last",
    ),
    (
        "I8: a successful payment is neither applied, parked, unmatched nor refunded",
        "SELECT count(*) FROM payments WHERE succeeded AND state = 'ignored'",
    ),
    (
        "I8: a payment is parked or unmatched although its order exists or its hold has ended",
        "SELECT count(*) FROM payments
         LEFT JOIN orders USING (slot, order_id)
         LEFT JOIN holds ON holds.slot = payments.slot AND holds.hold_id = payments.order_id
         WHERE payments.state IN ('parked', 'unmatched')
           AND (orders.order_id IS NOT NULL OR holds.status IN ('released', 'expired'))",
    ),
    (
        "I8: the refund status of an order is not that of its least advanced refund",
        "SELECT count(*) FROM orders
         LEFT JOIN (SELECT slot, order_id, bool_or(state = 'refund_due') AS due, bool_or(state = 'refund_requested') AS asked,
                        bool_or(state = 'refunded') AS done FROM payments GROUP BY slot, order_id) r USING (slot, order_id)
         WHERE refund_status::text <> CASE WHEN r.due THEN 'due' WHEN r.asked THEN 'requested' WHEN r.done THEN 'refunded'
                                           ELSE 'none' END",
    ),
];

/// Checks all invariants of a sale at rest.
///
/// # Panics
/// When an invariant is broken. The message names it.
pub async fn assert_invariants(pool: &PgPool) {
    for (invariant, query) in VIOLATIONS {
        let broken: i64 = match sqlx::query_scalar(*query).fetch_one(pool).await {
            Ok(broken) => broken,
            Err(error) => panic!("{invariant}: {error}"),
        };
        assert_eq!(broken, 0, "{invariant}");
    }
}
