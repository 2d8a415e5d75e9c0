//! Products in memory, kept fresh by the workers' news.
//!
//! Each product has a cell that keeps the newest version it has heard of, from the news or from the table. A cell that
//! may have missed news (a lost connection, a worker that died) is read from the table again, by one reader for all who
//! wait. What is in here is shown; it grants nothing.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, RwLock};
use std::time::Duration;

use holdfast_common::id::ProductId;
use holdfast_common::news::News;
use holdfast_common::outcome::ProductAsOf;
use moka::future::Cache;
use tokio::sync::Mutex;
use tokio::time::Instant;

use crate::Settings;
use crate::connections::Connections;
use crate::store;

/// The most products in memory.
const PRODUCTS_MAX: u64 = 100_000;
/// How long a product is shown without asking again while NATS, and so the news, is away.
const WITHOUT_NEWS: Duration = Duration::from_millis(500);

/// Every product that somebody asked for lately.
pub struct StockView {
    cells: Cache<ProductId, Arc<Cell>>,
    distrusted: AtomicU64,
}

/// One product.
#[derive(Default)]
struct Cell {
    known: RwLock<Option<Known>>,
    loading: Mutex<()>,
}

/// What is known of a product.
#[derive(Clone)]
struct Known {
    product: Arc<ProductAsOf>,
    read_at: Instant,
    /// How often the news was in doubt when it was read.
    doubts: u64,
}

impl StockView {
    /// Knows nothing yet.
    #[must_use]
    pub fn new(settings: &Settings, _connections: &Connections) -> Self {
        let ttl = Duration::from_secs(settings.ingress.stock_cache_ttl);
        let cells = Cache::builder().max_capacity(PRODUCTS_MAX).time_to_live(ttl).build();
        Self { cells, distrusted: AtomicU64::new(0) }
    }

    /// Learns from the news. Products that nobody asks for here are passed over.
    pub async fn learn(&self, news: News, connections: &Connections) {
        if news.taken_over {
            // The worker before may have died between its commit and its news.
            self.distrusted.fetch_add(1, Ordering::Relaxed);
        }
        let doubts = self.doubts(connections);
        for product in news.products {
            // Also for products nobody has asked for yet: a read of the table may be on its way that is older than this.
            let cell = self.cell(product.product.id).await;
            cell.offer(Known { product: Arc::new(product), read_at: Instant::now(), doubts });
        }
    }

    /// A product as it is now, or was less than a second ago; `None` when there is none.
    ///
    /// # Errors
    /// When it has to be read and Postgres fails.
    pub async fn product(&self, id: ProductId, connections: &Connections) -> sqlx::Result<Option<Arc<ProductAsOf>>> {
        let cell = self.cell(id).await;
        if let Some(product) = self.fresh(&cell, connections) {
            return Ok(Some(product));
        }
        let _one_at_a_time = cell.loading.lock().await;
        if let Some(product) = self.fresh(&cell, connections) {
            return Ok(Some(product));
        }
        let (read_at, doubts) = (Instant::now(), self.doubts(connections));
        let Some(product) = store::product(&connections.pool, id).await? else {
            self.cells.invalidate(&id).await;
            return Ok(None);
        };
        Ok(Some(cell.offer(Known { product: Arc::new(product), read_at, doubts })))
    }

    async fn cell(&self, id: ProductId) -> Arc<Cell> {
        self.cells.get_with(id, async { Arc::default() }).await
    }

    fn doubts(&self, connections: &Connections) -> u64 {
        self.distrusted.load(Ordering::Relaxed) + connections.interruptions()
    }

    fn fresh(&self, cell: &Cell, connections: &Connections) -> Option<Arc<ProductAsOf>> {
        let known = cell.known()?;
        let hears_news = connections.has_nats() && known.doubts == self.doubts(connections);
        (hears_news || known.read_at.elapsed() < WITHOUT_NEWS).then_some(known.product)
    }
}

impl Cell {
    fn known(&self) -> Option<Known> {
        self.known.read().unwrap_or_else(std::sync::PoisonError::into_inner).clone()
    }

    /// Keeps what is newer, and says what it is.
    fn offer(&self, offered: Known) -> Arc<ProductAsOf> {
        let mut known = self.known.write().unwrap_or_else(std::sync::PoisonError::into_inner);
        match &mut *known {
            Some(known) if known.product.product.version > offered.product.product.version => {
                // Older than what the news told meanwhile; but the table was asked, so nothing else was missed.
                known.doubts = known.doubts.max(offered.doubts);
                Arc::clone(&known.product)
            }
            known => {
                let product = Arc::clone(&offered.product);
                *known = Some(offered);
                product
            }
        }
    }
}
