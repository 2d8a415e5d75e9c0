//! In-memory product cache, fed by the news that workers publish after each commit.
//!
//! Each product has a cell with its newest known version, from news or from Postgres. [`super::freshness`] reports when news
//! of a partition may be missing (a lost message, a new owner). Then the product is read from Postgres again, once for all
//! requests that wait for it. The cache serves reads and may refuse a hold as sold out. It must never grant a hold: only a
//! worker does.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use holdfast_common::id::ProductId;
use holdfast_common::messages::news::News;
use holdfast_common::partition::{Partition, Partitions};
use holdfast_common::time::Timestamp;
use moka::future::Cache;
use sqlx::PgPool;
use tokio::sync::{Mutex, MutexGuard, Semaphore};
use tokio::time::Instant;

use crate::connections::NatsStatus;
use crate::metrics::METRICS;
use crate::products::freshness::Freshness;
use crate::products::snapshot::ProductSnapshot;
use crate::products::subscribers::Subscribers;
use crate::settings::Settings;
use crate::store;

const PRODUCTS_MAX: u64 = 100_000;
/// The number of products in one SQL statement when an operator warms the cache.
const WARM_PRODUCTS: i64 = 500;
/// How long a product is served without a new read while NATS is disconnected and no news arrives.
const SERVED_WITHOUT_NEWS: Duration = Duration::from_millis(500);
/// The most products that are read at once after a worker refused a hold: half of the connections to Postgres.
const REFRESHES_MAX: usize = 4;
/// How close to the start or end of a sale only the worker decides whether the sale is open.
const SALE_EDGE: Duration = Duration::from_secs(1);
/// How often products with subscribers are checked. A version whose news was lost is seen after this time at the latest.
const SUBSCRIBED_CHECK_INTERVAL: Duration = Duration::from_millis(500);

/// The products that were requested in the last `STOCK_CACHE_TTL` seconds.
pub struct ProductCache {
    cells: Cache<ProductId, Arc<ProductCell>>,
    partitions: Partitions,
    refreshes: Semaphore,
    pool: PgPool,
    nats: NatsStatus,
    pub freshness: Freshness,
    pub subscribers: Arc<Subscribers>,
}

/// The cache entry of one product.
#[derive(Default)]
struct ProductCell {
    cached: RwLock<Option<CachedProduct>>,
    /// Held while the product is read from Postgres, so that concurrent requests share one read.
    loading: Mutex<()>,
}

/// The newest known version of a product.
#[derive(Clone)]
struct CachedProduct {
    snapshot: Arc<ProductSnapshot>,
    read_at: Instant,
    /// [`ProductCache::gaps`] when the version was read. When the number has risen since, a newer version may exist.
    gaps: u64,
}

impl ProductCache {
    #[must_use]
    pub fn new(settings: &Settings, pool: PgPool, nats: NatsStatus) -> Self {
        let ttl = Duration::from_secs(settings.ingress.stock_cache_ttl);
        let partitions = settings.nats.partitions;
        let connections_max = settings.ingress.limits.connections_max as usize;
        Self {
            cells: Cache::builder()
                .max_capacity(PRODUCTS_MAX)
                .time_to_live(ttl)
                .build(),
            partitions,
            refreshes: Semaphore::new(REFRESHES_MAX),
            pool,
            nats,
            freshness: Freshness::new(partitions),
            subscribers: Arc::new(Subscribers::new(connections_max)),
        }
    }

    /// Stores the products of a news message.
    pub async fn apply_news(&self, news: News) {
        // News of an older owner is dropped. Its commits are in Postgres, and the younger owner's first news has made the
        // cache read them.
        if !self.freshness.record_news(&news) {
            return;
        }
        let partition = Partition(news.pulse.partition);
        let gaps = self.freshness.gaps(partition) + self.nats.interruptions();
        for product in news.products {
            // A product that no request has read gets a cell too: a read of Postgres may be in flight whose result is
            // older than this news, and the cell keeps the newer of both.
            let cell = self.cell(product.product.id).await;
            self.keep_newer(
                &cell,
                CachedProduct {
                    snapshot: Arc::new(product.into()),
                    read_at: Instant::now(),
                    gaps,
                },
            );
        }
    }

    /// A product that is at most one second old; `None` when it does not exist.
    ///
    /// # Errors
    /// When it must be read and Postgres fails.
    pub async fn get(&self, id: ProductId) -> sqlx::Result<Option<Arc<ProductSnapshot>>> {
        let cell = self.cell(id).await;
        if let Some(snapshot) = self.fresh(id, &cell) {
            METRICS.cache.count("hit");
            return Ok(Some(snapshot));
        }
        METRICS.cache.count("miss");
        let loading = cell.loading.lock().await;
        // Another request may have read it while this one waited for the lock.
        if let Some(snapshot) = self.fresh(id, &cell) {
            return Ok(Some(snapshot));
        }
        self.load(id, &cell, loading).await
    }

    /// A product with fewer available units than `quantity`, when a worker would certainly refuse such a hold now. `None`
    /// when the worker must decide. All of these must be true:
    ///
    /// - The partition's news is complete since the product was read, and its last news or heartbeat is under a second
    ///   old. So no commit is missing.
    /// - No hold or order of the partition falls due by now, so no expiry returns units (see [`Freshness`]).
    /// - The sale is open, and not within a second of its start or end, where clocks would have to agree.
    pub async fn sold_out(&self, id: ProductId, quantity: u32) -> Option<Arc<ProductSnapshot>> {
        let cell = self.cells.get(&id).await?;
        let cached = cell.cached.read().unwrap_or_else(PoisonError::into_inner);
        let CachedProduct { snapshot, gaps, .. } = cached
            .as_ref()
            .filter(|cached| cached.has_less_than(quantity))?;
        let now = self.freshness.now_if_nothing_due(self.partition(id))?;
        let is_open = |at: Timestamp| snapshot.product().is_open(at);
        let is_surely_open = is_open(now.minus(SALE_EDGE)) && is_open(now.plus(SALE_EDGE));
        // The gaps are read last: a gap that is found during this call must still lead to `None`.
        (is_surely_open && *gaps == self.gaps(id)).then(|| Arc::clone(snapshot))
    }

    /// Reads a product again after a worker refused a hold on it, unless the cache is current. Then the cache can refuse
    /// the next holds.
    pub async fn refresh(&self, id: ProductId) {
        let cell = self.cell(id).await;
        // Does nothing when another task is reading the product, or when enough others are being read.
        let (Ok(_permit), Ok(loading)) = (self.refreshes.try_acquire(), cell.loading.try_lock())
        else {
            return;
        };
        if self.fresh(id, &cell).is_none()
            && let Err(error) = self.load(id, &cell, loading).await
        {
            tracing::debug!(%error, product_id = id.0, "refreshing a cached product failed");
        }
    }

    /// Removes all products, and returns about how many. Each is read again when a request wants it.
    pub fn clear(&self) -> u64 {
        let count = self.cells.entry_count();
        self.cells.invalidate_all();
        count
    }

    /// Reads one product, or as many as the cache can hold, and returns how many.
    ///
    /// # Errors
    /// When Postgres fails.
    pub async fn warm(&self, id: Option<ProductId>) -> sqlx::Result<u64> {
        if let Some(id) = id {
            return Ok(self.get(id).await?.map_or(0, |_| 1));
        }
        let (mut after, mut count) = (ProductId(0), 0);
        while count < PRODUCTS_MAX {
            // Both are taken before the read, so that a gap during the read makes its products stale.
            let (read_at, interruptions) = (Instant::now(), self.nats.interruptions());
            let gaps: Vec<u64> = self
                .partitions
                .all()
                .map(|partition| self.freshness.gaps(partition))
                .collect();
            let page = store::products(&self.pool, after, WARM_PRODUCTS).await?;
            let Some(last) = page.last() else { break };
            after = last.product.id;
            count += page.len() as u64;
            for product in page {
                let id = product.product.id;
                let gaps = gaps[usize::from(self.partition(id).0)] + interruptions;
                self.keep_newer(
                    &*self.cell(id).await,
                    CachedProduct {
                        snapshot: Arc::new(product.into()),
                        read_at,
                        gaps,
                    },
                );
            }
        }
        Ok(count)
    }

    /// Keeps products with subscribers current: news may be lost, and subscribers send no requests that would find it out.
    /// Runs until the ingress stops.
    pub async fn refresh_subscribed(self: Arc<Self>) {
        loop {
            tokio::time::sleep(SUBSCRIBED_CHECK_INTERVAL).await;
            for id in self.subscribers.products() {
                if let Err(error) = self.get(id).await {
                    tracing::debug!(%error, product_id = id.0, "refreshing a cached product failed");
                }
            }
        }
    }

    /// Reads a product from Postgres. The guard shows that no other task reads it now.
    async fn load(
        &self,
        id: ProductId,
        cell: &ProductCell,
        _loading: MutexGuard<'_, ()>,
    ) -> sqlx::Result<Option<Arc<ProductSnapshot>>> {
        let (read_at, gaps) = (Instant::now(), self.gaps(id));
        let Some(product) = store::product(&self.pool, id).await? else {
            self.cells.invalidate(&id).await;
            return Ok(None);
        };
        self.freshness.record_time(product.as_of);
        Ok(Some(self.keep_newer(
            cell,
            CachedProduct {
                snapshot: Arc::new(product.into()),
                read_at,
                gaps,
            },
        )))
    }

    /// Stores a version unless a newer one is there, publishes the newer of both to subscribers, and returns it.
    fn keep_newer(&self, cell: &ProductCell, offered: CachedProduct) -> Arc<ProductSnapshot> {
        let snapshot = cell.keep_newer(offered);
        self.subscribers.publish(&snapshot);
        snapshot
    }

    async fn cell(&self, id: ProductId) -> Arc<ProductCell> {
        self.cells.get_with(id, async { Arc::default() }).await
    }

    fn partition(&self, id: ProductId) -> Partition {
        self.partitions.of(id.slot())
    }

    /// How often news of a product may have been missed: by a gap in the numbers, or by an interruption of NATS.
    fn gaps(&self, id: ProductId) -> u64 {
        self.freshness.gaps(self.partition(id)) + self.nats.interruptions()
    }

    fn fresh(&self, id: ProductId, cell: &ProductCell) -> Option<Arc<ProductSnapshot>> {
        let cached = cell.cached.read().unwrap_or_else(PoisonError::into_inner);
        let cached = cached.as_ref()?;
        let has_all_news = self.nats.is_connected() && cached.gaps == self.gaps(id);
        (has_all_news || cached.read_at.elapsed() < SERVED_WITHOUT_NEWS)
            .then(|| Arc::clone(&cached.snapshot))
    }
}

impl CachedProduct {
    fn has_less_than(&self, quantity: u32) -> bool {
        self.snapshot.product().stock.available() < quantity.into()
    }
}

impl ProductCell {
    fn keep_newer(&self, offered: CachedProduct) -> Arc<ProductSnapshot> {
        let mut cached = self.cached.write().unwrap_or_else(PoisonError::into_inner);
        match &mut *cached {
            Some(cached)
                if cached.snapshot.product().version > offered.snapshot.product().version =>
            {
                // News brought this version during the read. The read proves that no other version was missed before it.
                cached.gaps = cached.gaps.max(offered.gaps);
                Arc::clone(&cached.snapshot)
            }
            cached => {
                let snapshot = Arc::clone(&offered.snapshot);
                *cached = Some(offered);
                snapshot
            }
        }
    }
}
