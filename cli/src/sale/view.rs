//! Prints a sale: bars on a terminal, lines elsewhere, or JSON Lines.

use std::collections::{BTreeMap, HashMap};

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use serde_json::json;

use crate::store::selling::ProductCounts;

/// `pos` is the number of held and sold units, `len` the total stock.
const BAR: &str = "{prefix:20!} [{bar:40}] {pos}/{len} taken  {msg}";

pub(super) struct ProductLine<'p> {
    pub(super) product: &'p ProductCounts,
    pub(super) holds_per_second: f64,
}

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

    pub(super) fn show(
        &mut self,
        lines: &[ProductLine<'_>],
        backlog: Option<u64>,
        refused: &BTreeMap<u16, u64>,
    ) {
        if self.is_json {
            let products: Vec<_> = lines.iter().map(document).collect();
            println!(
                "{}",
                json!({"products": products, "backlog": backlog, "refused": refused})
            );
        } else if self.all.is_hidden() {
            for line in lines {
                println!("{}: {}", line.product.name, text(line));
            }
            println!("{}", foot(backlog, refused));
        } else {
            lines.iter().for_each(|line| self.draw(line));
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

    fn draw(&mut self, line: &ProductLine<'_>) {
        let product = line.product;
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
        bar.set_message(text(line));
    }
}

fn text(
    ProductLine {
        product,
        holds_per_second,
    }: &ProductLine<'_>,
) -> String {
    let ProductCounts {
        available_stock,
        held_stock,
        sold_stock,
        ..
    } = product;
    format!(
        "{available_stock} on sale, {held_stock} held, {sold_stock} sold, {holds_per_second:.1} holds/s"
    )
}

/// The counts that are not of one product.
fn foot(backlog: Option<u64>, refused: &BTreeMap<u16, u64>) -> String {
    let by_status: Vec<_> = refused
        .iter()
        .map(|(status, count)| format!("{count} with {status}"))
        .collect();
    let by_status = if by_status.is_empty() {
        "none".to_owned()
    } else {
        by_status.join(", ")
    };
    format!(
        "holds refused this second: {by_status}; backlog: {}",
        backlog.map_or_else(
            || "not counted, because there are too many partitions".to_owned(),
            |entries| format!("{entries} log entries"),
        )
    )
}

fn document(
    ProductLine {
        product,
        holds_per_second,
    }: &ProductLine<'_>,
) -> serde_json::Value {
    json!({
        "product_id": product.product_id, "total_stock": product.total_stock, "available_stock": product.available_stock,
        "held_stock": product.held_stock, "sold_stock": product.sold_stock, "holds_count": product.holds_count,
        "holds_per_second": holds_per_second,
    })
}
