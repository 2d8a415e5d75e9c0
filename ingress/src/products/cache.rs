//! Products in memory, kept fresh by the workers' news.
//!
//! Each product has a cell that keeps the newest version it has heard of, from the news or from the table. A cell that
//! may have missed news (a lost message, a worker that died) is read from the table again, by one reader for all who
//! wait. What is in here is shown, and may say no to who asks for more than there is. It grants nothing.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use holdfast_common::id::ProductId;
use holdfast_common::messages::news::News;
use holdfast_common::partition::{Partition, Partitions};
use holdfast_common::time::Timestamp;
use moka::future::Cache;
use tokio::sync::{Mutex, MutexGuard, Semaphore};
use tokio::time::Instant;

use crate::App;
use crate::Settings;
use crate::connections::Connections;
use crate::metrics::METRICS;
use crate::products::freshness::Pulses;
use crate::products::snapshot::Shown;
use crate::products::subscribers::Audiences;
use crate::store;

/// The most products in memory.
const PRODUCTS_MAX: u64 = 100_000;
/// How many products are read at once ahead of those who will ask.
const WARM_PRODUCTS: i64 = 500;
/// How long a product is shown without asking again while NATS, and so the news, is away.
const WITHOUT_NEWS: Duration = Duration::from_millis(500);
/// How many products are read at once for the sake of those who ask for too much: half of the connections to Postgres.
const LOOKS_MAX: usize = 4;
/// How near to the beginning or the end of a sale the log alone says whether it is open.
const SALE_EDGE: Duration = Duration::from_secs(1);
/// How often products that somebody watches are looked after. So long may a version stay unseen whose news was lost.
const WATCH_EVERY: Duration = Duration::from_millis(500);

/// Every product that somebody asked for lately.
pub struct StockView {
    cells: Cache<ProductId, Arc<Cell>>,
    partitions: Partitions,
    looks: Semaphore,
    /// How fresh the news is.
    pub pulses: Pulses,
    /// Who watches.
    pub audiences: Arc<Audiences>,
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
    shown: Arc<Shown>,
    read_at: Instant,
    /// How often the news was in doubt when it was read.
    doubts: u64,
}

impl StockView {
    /// Knows nothing yet.
    #[must_use]
    pub fn new(settings: &Settings) -> Self {
        let ttl = Duration::from_secs(settings.ingress.stock_cache_ttl);
        let cells = Cache::builder()
            .max_capacity(PRODUCTS_MAX)
            .time_to_live(ttl)
            .build();
        let partitions = settings.nats.partitions;
        let audiences = Arc::new(Audiences::new(
            settings.ingress.limits.connections_max as usize,
        ));
        let (looks, pulses) = (Semaphore::new(LOOKS_MAX), Pulses::new(partitions));
        Self {
            cells,
            partitions,
            looks,
            pulses,
            audiences,
        }
    }

    /// Learns from the news.
    pub async fn learn(&self, news: News, connections: &Connections) {
        // What an older owner committed is in the table, and that is read again since there is a younger one.
        if !self.pulses.learn(&news) {
            return;
        }
        let doubts =
            self.pulses.doubts(Partition(news.pulse.partition)) + connections.interruptions();
        for product in news.products {
            // Also for products nobody has asked for yet: a read of the table may be on its way that is older than this.
            let cell = self.cell(product.product.id).await;
            self.offer(
                &cell,
                Known {
                    shown: Arc::new(product.into()),
                    read_at: Instant::now(),
                    doubts,
                },
            );
        }
    }

    /// A product as it is now, or was less than a second ago; `None` when there is none.
    ///
    /// # Errors
    /// When it has to be read and Postgres fails.
    pub async fn product(
        &self,
        id: ProductId,
        connections: &Connections,
    ) -> sqlx::Result<Option<Arc<Shown>>> {
        let cell = self.cell(id).await;
        if let Some(shown) = self.fresh(id, &cell, connections) {
            METRICS.cache.count("hit");
            return Ok(Some(shown));
        }
        METRICS.cache.count("miss");
        let one_at_a_time = cell.loading.lock().await;
        if let Some(shown) = self.fresh(id, &cell, connections) {
            return Ok(Some(shown));
        }
        self.load(id, &cell, connections, one_at_a_time).await
    }

    /// A product of which fewer units are on sale than somebody asks for, without any doubt: what the log would answer is
    /// the same. `None` leaves it to the log.
    pub async fn sold_out(
        &self,
        id: ProductId,
        quantity: u32,
        connections: &Connections,
    ) -> Option<Arc<Shown>> {
        let cell = self.cells.get(&id).await?;
        let known = cell.known.read().unwrap_or_else(PoisonError::into_inner);
        let Known { shown, doubts, .. } = known
            .as_ref()
            .filter(|known| known.has_less_than(quantity))?;
        let now = self.pulses.now_if_clear(self.partition(id))?;
        let is_open = |at: Timestamp| shown.product().is_open(at);
        let is_surely_open = is_open(now.minus(SALE_EDGE)) && is_open(now.plus(SALE_EDGE));
        (is_surely_open && *doubts == self.doubts(id, connections)).then(|| Arc::clone(shown))
    }

    /// Looks a product up that the log has refused, if memory does not know as much. Who comes next is refused from here.
    pub async fn look_again(&self, id: ProductId, connections: &Connections) {
        let cell = self.cell(id).await;
        // Somebody else may be looking.
        let (Ok(_place), Ok(alone)) = (self.looks.try_acquire(), cell.loading.try_lock()) else {
            return;
        };
        if self.fresh(id, &cell, connections).is_none()
            && let Err(error) = self.load(id, &cell, connections, alone).await
        {
            tracing::debug!(%error, "a product was not looked up");
        }
    }

    /// Forgets all products, and says about how many. Each is read again when somebody asks for it.
    pub fn clear(&self) -> u64 {
        let count = self.cells.entry_count();
        self.cells.invalidate_all();
        count
    }

    /// Reads a product, or as many as there is room for, ahead of those who will ask; says how many.
    ///
    /// # Errors
    /// When Postgres fails.
    pub async fn warm(
        &self,
        id: Option<ProductId>,
        connections: &Connections,
    ) -> sqlx::Result<u64> {
        if let Some(id) = id {
            return Ok(self.product(id, connections).await?.map_or(0, |_| 1));
        }
        let (mut after, mut count) = (ProductId(0), 0);
        while count < PRODUCTS_MAX {
            let (read_at, interruptions) = (Instant::now(), connections.interruptions());
            let doubts: Vec<u64> = self
                .partitions
                .all()
                .map(|partition| self.pulses.doubts(partition))
                .collect();
            let page = store::products(&connections.pool, after, WARM_PRODUCTS).await?;
            let Some(last) = page.last() else { break };
            after = last.product.id;
            count += page.len() as u64;
            for product in page {
                let id = product.product.id;
                let doubts = doubts[usize::from(self.partition(id).0)] + interruptions;
                self.offer(
                    &*self.cell(id).await,
                    Known {
                        shown: Arc::new(product.into()),
                        read_at,
                        doubts,
                    },
                );
            }
        }
        Ok(count)
    }

    async fn load(
        &self,
        id: ProductId,
        cell: &Cell,
        connections: &Connections,
        _alone: MutexGuard<'_, ()>,
    ) -> sqlx::Result<Option<Arc<Shown>>> {
        let (read_at, doubts) = (Instant::now(), self.doubts(id, connections));
        let Some(product) = store::product(&connections.pool, id).await? else {
            self.cells.invalidate(&id).await;
            return Ok(None);
        };
        self.pulses.learn_time(product.as_of);
        Ok(Some(self.offer(
            cell,
            Known {
                shown: Arc::new(product.into()),
                read_at,
                doubts,
            },
        )))
    }

    /// Keeps what is newer, says what it is, and shows it to those who watch.
    fn offer(&self, cell: &Cell, offered: Known) -> Arc<Shown> {
        let shown = cell.offer(offered);
        self.audiences.show(&shown);
        shown
    }

    async fn cell(&self, id: ProductId) -> Arc<Cell> {
        self.cells.get_with(id, async { Arc::default() }).await
    }

    fn partition(&self, id: ProductId) -> Partition {
        self.partitions.of(id.slot())
    }

    fn doubts(&self, id: ProductId, connections: &Connections) -> u64 {
        self.pulses.doubts(self.partition(id)) + connections.interruptions()
    }

    fn fresh(&self, id: ProductId, cell: &Cell, connections: &Connections) -> Option<Arc<Shown>> {
        let known = cell.known.read().unwrap_or_else(PoisonError::into_inner);
        let known = known.as_ref()?;
        let hears_news = connections.has_nats() && known.doubts == self.doubts(id, connections);
        (hears_news || known.read_at.elapsed() < WITHOUT_NEWS).then(|| Arc::clone(&known.shown))
    }
}

/// Keeps what somebody watches as fresh as what is asked for, without an end.
pub async fn watch(app: Arc<App>) {
    loop {
        tokio::time::sleep(WATCH_EVERY).await;
        for id in app.stock.audiences.watched() {
            if let Err(error) = app.stock.product(id, &app.connections).await {
                tracing::debug!(%error, "a product that is watched was not looked up");
            }
        }
    }
}

impl Known {
    fn has_less_than(&self, quantity: u32) -> bool {
        self.shown.product().stock.available() < quantity.into()
    }
}

impl Cell {
    /// Keeps what is newer, and says what it is.
    fn offer(&self, offered: Known) -> Arc<Shown> {
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        match &mut *known {
            Some(known) if known.shown.product().version > offered.shown.product().version => {
                // Older than what the news told meanwhile; but the table was asked, so nothing else was missed.
                known.doubts = known.doubts.max(offered.doubts);
                Arc::clone(&known.shown)
            }
            known => {
                let shown = Arc::clone(&offered.shown);
                *known = Some(offered);
                shown
            }
        }
    }
}
