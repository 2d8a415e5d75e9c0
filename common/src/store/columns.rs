//! The columns that statements select for the row types of [`super::rows`]: each list exists once.
//!
//! The lists are macros, because a statement is a constant text: `concat!("SELECT ", hold_columns!(), " FROM holds")`. Every
//! column names its table, so a list also works in a join. An encrypted column takes the place of its plain column when it
//! has a value; `opened` of the row decrypts it.

/// Columns of a `HoldRow`, from table `holds`.
#[macro_export]
macro_rules! hold_columns {
    () => {
        "holds.hold_id, holds.product_id, holds.quantity, \
         coalesce(holds.customer_sealed, holds.customer_id) AS customer_id, holds.price_minor, holds.currency, \
         holds.status::text, holds.sequence, holds.created_at, holds.expires_at, holds.ended_at"
    };
}

/// Columns of an `OrderRow`, from table `orders`.
#[macro_export]
macro_rules! order_columns {
    () => {
        "orders.order_id, orders.product_id, orders.quantity, \
         coalesce(orders.customer_sealed, orders.customer_id) AS customer_id, orders.amount_minor, orders.currency, \
         orders.status::text, orders.cancel_reason::text, \
         coalesce(orders.payment_sealed, orders.payment_id) AS payment_id, orders.settled_at, \
         orders.refund_status::text, orders.payment_due_at, orders.created_at"
    };
}

/// Columns of a `PaymentRow`, from table `payments`.
#[macro_export]
macro_rules! payment_columns {
    () => {
        "payments.order_id, coalesce(payments.payment_sealed, payments.payment_id) AS payment_id, \
         payments.succeeded, payments.amount_minor, payments.currency, payments.state::text, \
         payments.refund_reason::text, payments.arrival, payments.received_at"
    };
}

/// Columns of a `ProductRow`, from table `products`.
#[macro_export]
macro_rules! product_columns {
    () => {
        concat!(
            $crate::product_count_columns!(),
            ", products.price_minor, products.currency, products.max_per_customer, products.sale_starts_at, \
             products.sale_ends_at, products.version"
        )
    };
}

/// Id, name and stored counts of a product, from table `products`.
#[macro_export]
macro_rules! product_count_columns {
    () => {
        "products.product_id, products.name, products.total_stock, products.available_stock, products.held_stock, \
         products.sold_stock, products.holds_count, products.hold_sequence"
    };
}
