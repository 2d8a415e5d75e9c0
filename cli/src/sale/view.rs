//! What a sale looks like: bars on a terminal, lines elsewhere, or JSON.

use std::collections::{BTreeMap, HashMap};

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use serde_json::json;

use crate::store::selling::Selling;

/// How a bar looks: what is promised or paid for, of all.
const BAR: &str = "{prefix:20!} [{bar:40}] {pos}/{len} taken  {msg}";

/// A product at a moment.
pub(super) struct Seen<'p> {
    pub(super) product: &'p Selling,
    pub(super) holds_per_second: f64,
}

/// Where it is shown.
pub(super) struct View {
    is_json: bool,
    all: MultiProgress,
    bars: HashMap<i64, ProgressBar>,
    foot: Option<ProgressBar>,
}

impl View {
    pub(super) fn new(is_json: bool) -> Self {
        Self {
            is_json,
            all: MultiProgress::new(),
            bars: HashMap::new(),
            foot: None,
        }
    }

    /// Shows the next second.
    pub(super) fn show(
        &mut self,
        seen: &[Seen<'_>],
        backlog: Option<u64>,
        refused: &BTreeMap<u16, u64>,
    ) {
        if self.is_json {
            let products: Vec<_> = seen.iter().map(document).collect();
            println!(
                "{}",
                json!({"products": products, "backlog": backlog, "refused": refused})
            );
        } else if self.all.is_hidden() {
            seen.iter()
                .for_each(|seen| println!("{}: {}", seen.product.name, line(seen)));
            println!("{}", foot(backlog, refused));
        } else {
            seen.iter().for_each(|seen| self.draw(seen));
            let foot = self.foot.get_or_insert_with(|| {
                let bar = self.all.add(ProgressBar::new(0));
                bar.set_style(
                    ProgressStyle::with_template("{msg}")
                        .unwrap_or_else(|_| ProgressStyle::default_bar()),
                );
                bar
            });
            foot.set_message(self::foot(backlog, refused));
        }
    }

    fn draw(&mut self, seen: &Seen<'_>) {
        let product = seen.product;
        let bar = self.bars.entry(product.product_id).or_insert_with(|| {
            let bar = self.all.add(ProgressBar::new(0));
            bar.set_style(
                ProgressStyle::with_template(BAR).unwrap_or_else(|_| ProgressStyle::default_bar()),
            );
            bar.set_prefix(product.name.clone());
            bar
        });
        bar.set_length(product.total_stock.unsigned_abs());
        bar.set_position((product.held_stock + product.sold_stock).unsigned_abs());
        bar.set_message(line(seen));
    }
}

fn line(
    Seen {
        product,
        holds_per_second,
    }: &Seen<'_>,
) -> String {
    let Selling {
        available_stock,
        held_stock,
        sold_stock,
        ..
    } = product;
    format!(
        "{available_stock} on sale, {held_stock} held, {sold_stock} sold, {holds_per_second:.1} holds/s"
    )
}

/// What is so of all products together.
fn foot(backlog: Option<u64>, refused: &BTreeMap<u16, u64>) -> String {
    let by_status: Vec<_> = refused
        .iter()
        .map(|(status, count)| format!("{count} with {status}"))
        .collect();
    let by_status = if by_status.is_empty() {
        "nobody".to_owned()
    } else {
        by_status.join(", ")
    };
    format!(
        "refused a hold in this second: {by_status}; entries waiting in the log: {}",
        waiting(backlog)
    )
}

fn waiting(backlog: Option<u64>) -> String {
    backlog.map_or_else(
        || "not looked at, for there are many partitions".to_owned(),
        |count| count.to_string(),
    )
}

fn document(
    Seen {
        product,
        holds_per_second,
    }: &Seen<'_>,
) -> serde_json::Value {
    json!({
        "product_id": product.product_id, "total_stock": product.total_stock, "available_stock": product.available_stock,
        "held_stock": product.held_stock, "sold_stock": product.sold_stock, "holds_count": product.holds_count,
        "holds_per_second": holds_per_second,
    })
}
