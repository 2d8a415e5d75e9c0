//! The subscribers of `GET /api/products/{id}/events`.
//!
//! Each product with subscribers has one cell with its newest version. No subscriber has a queue: when it may get an
//! event again, it reads the cell and skips all versions in between. So a slow client costs no memory, and a product that
//! changes often wakes each subscriber only as often as it gets an event. The more subscribers there are, the longer is
//! the pause between two events, because most of the cost is writing to connections.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use bytes::Bytes;
use holdfast_common::id::ProductId;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::{Instant, sleep, sleep_until, timeout};

use crate::commands::waiters::Waiter;
use crate::products::snapshot::ProductSnapshot;

/// Subscribers may have one of two connections.
const SUBSCRIBERS_SHARE: usize = 2;
/// The shortest pause between two events of a subscriber: at most 10 events a second.
const PAUSE_MIN: Duration = Duration::from_millis(100);
/// The longest pause, so that a subscriber gets the last of many changes within a second.
const PAUSE_MAX: Duration = Duration::from_millis(800);
/// The pause for each subscriber: all subscribers of an ingress get about 10,000 events a second together.
const PAUSE_PER_SUBSCRIBER: Duration = Duration::from_micros(100);
/// After this time without an event the stream gets a comment. Proxies end connections that are silent for a minute.
const SILENCE_MAX: Duration = Duration::from_secs(15);
/// A comment line, which clients ignore.
const COMMENT: Bytes = Bytes::from_static(b":\n\n");

type NewestVersion = watch::Sender<Arc<ProductSnapshot>>;

/// The place that a subscriber occupies until its stream ends: a permit, and an entry among the waiting requests, because
/// both are bounded by the number of connections.
#[derive(Debug)]
pub struct SubscriberPermit {
    _permit: OwnedSemaphorePermit,
    _waiter: Waiter,
}

/// All products with subscribers.
#[derive(Debug)]
pub struct Subscribers {
    products: RwLock<HashMap<ProductId, NewestVersion>>,
    permits: Arc<Semaphore>,
    permits_max: usize,
}

impl Subscribers {
    #[must_use]
    pub fn new(connections_max: usize) -> Self {
        let permits_max = connections_max / SUBSCRIBERS_SHARE;
        Self {
            products: RwLock::default(),
            permits: Arc::new(Semaphore::new(permits_max)),
            permits_max,
        }
    }

    /// A place for one more subscriber; `None` when there are too many, or when `waiter` returns `None`.
    #[must_use]
    pub fn permit(&self, waiter: impl FnOnce() -> Option<Waiter>) -> Option<SubscriberPermit> {
        Some(SubscriberPermit {
            _permit: Arc::clone(&self.permits).try_acquire_owned().ok()?,
            _waiter: waiter()?,
        })
    }

    /// Subscribes to a product. `last_version` is the version that the client has.
    pub fn subscribe(
        self: &Arc<Self>,
        snapshot: &Arc<ProductSnapshot>,
        last_version: Option<i64>,
        permit: SubscriberPermit,
    ) -> Subscription {
        let mut products = self
            .products
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        let cell = products
            .entry(snapshot.product().id)
            .or_insert_with(|| watch::Sender::new(Arc::clone(snapshot)));
        keep_newer(cell, snapshot);
        let mut newest = cell.subscribe();
        // The first event is sent at once.
        newest.mark_changed();
        Subscription {
            subscribers: Arc::clone(self),
            newest,
            last_version,
            next_event_at: Instant::now(),
            _permit: permit,
        }
    }

    /// Gives a version to the product's subscribers, unless they have a newer one.
    pub fn publish(&self, snapshot: &Arc<ProductSnapshot>) {
        let products = self.products.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(cell) = products.get(&snapshot.product().id) {
            keep_newer(cell, snapshot);
        }
    }

    /// The products with subscribers. Removes the cells of the others.
    #[must_use]
    pub fn products(&self) -> Vec<ProductId> {
        let mut products = self
            .products
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        products.retain(|_, cell| cell.receiver_count() > 0);
        products.keys().copied().collect()
    }

    /// The time to send one event to each subscriber.
    fn round(&self) -> Duration {
        let subscribers = self
            .permits_max
            .saturating_sub(self.permits.available_permits());
        PAUSE_PER_SUBSCRIBER * u32::try_from(subscribers).unwrap_or(u32::MAX)
    }
}

fn keep_newer(cell: &NewestVersion, offered: &Arc<ProductSnapshot>) {
    cell.send_if_modified(|newest| {
        let is_newer = newest.product().version < offered.product().version;
        if is_newer {
            *newest = Arc::clone(offered);
        }
        is_newer
    });
}

/// The event stream of one subscriber.
#[derive(Debug)]
pub struct Subscription {
    subscribers: Arc<Subscribers>,
    newest: watch::Receiver<Arc<ProductSnapshot>>,
    last_version: Option<i64>,
    next_event_at: Instant,
    _permit: SubscriberPermit,
}

impl Subscription {
    /// Waits for the next event: the product's newest version, or a comment after a long silence. `None` ends the stream.
    pub async fn next(&mut self) -> Option<Bytes> {
        sleep_until(self.next_event_at).await;
        loop {
            if !self.newest.has_changed().ok()? {
                match timeout(SILENCE_MAX, self.newest.changed()).await {
                    Ok(changed) => changed.ok()?,
                    Err(_) => return Some(COMMENT),
                }
                // A change wakes all subscribers at the same moment. A random delay spreads their writes, so that other
                // requests do not wait for all of them.
                let round = self.subscribers.round().min(PAUSE_MAX);
                sleep(round.mul_f32(rand::random_range(0.0..1.0))).await;
            }
            let snapshot = Arc::clone(&self.newest.borrow_and_update());
            let version = snapshot.product().version;
            if self.last_version != Some(version) {
                self.last_version = Some(version);
                self.next_event_at =
                    Instant::now() + self.subscribers.round().clamp(PAUSE_MIN, PAUSE_MAX);
                return Some(snapshot.event());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use holdfast_common::domain::{Product, Stock};
    use holdfast_common::id::RequestId;
    use holdfast_common::outcome::ProductAsOf;
    use holdfast_common::time::Timestamp;

    use super::*;
    use crate::commands::load_shedding::Priority;
    use crate::commands::waiters::Waiters;

    const ID: ProductId = ProductId(1);

    fn snapshot(version: i64) -> Arc<ProductSnapshot> {
        let product = Product {
            id: ID,
            name: "Lamp".to_owned(),
            price_minor: 1,
            currency: "EUR".parse().unwrap(),
            stock: Stock::new(version),
            holds_count: 0,
            max_per_customer: None,
            sale_starts_at: None,
            sale_ends_at: None,
            hold_sequence: 0,
            version,
        };
        Arc::new(ProductSnapshot::from(ProductAsOf {
            product,
            as_of: Timestamp(0),
        }))
    }

    fn subscribe(
        subscribers: &Arc<Subscribers>,
        version: i64,
        last_version: Option<i64>,
    ) -> Option<Subscription> {
        let waiters = Arc::new(Waiters::new(8));
        let request_id = RequestId::new(ID.slot(), 0, 0);
        let permit = subscribers.permit(|| waiters.wait(request_id, Priority::Low))?;
        Some(subscribers.subscribe(&snapshot(version), last_version, permit))
    }

    #[tokio::test]
    async fn a_subscriber_gets_the_newest_version_and_skips_others() {
        let subscribers = Arc::new(Subscribers::new(8));
        let mut subscription = subscribe(&subscribers, 1, None).unwrap();
        assert_eq!(subscription.next().await, Some(snapshot(1).event()));
        for version in [2, 5, 4, 3] {
            subscribers.publish(&snapshot(version));
        }
        let before = Instant::now();
        assert_eq!(subscription.next().await, Some(snapshot(5).event()));
        assert!(subscription.next_event_at >= before + PAUSE_MIN);
        let later = async {
            tokio::task::yield_now().await;
            subscribers.publish(&snapshot(6));
        };
        assert_eq!(
            futures_util::join!(subscription.next(), later).0,
            Some(snapshot(6).event())
        );
    }

    #[tokio::test]
    async fn a_subscriber_with_the_newest_version_gets_the_next() {
        let subscribers = Arc::new(Subscribers::new(8));
        let (mut up_to_date, mut behind) = (
            subscribe(&subscribers, 3, Some(3)).unwrap(),
            subscribe(&subscribers, 3, Some(2)).unwrap(),
        );
        assert_eq!(behind.next().await, Some(snapshot(3).event()));
        let later = async {
            tokio::task::yield_now().await;
            subscribers.publish(&snapshot(4));
        };
        assert_eq!(
            futures_util::join!(up_to_date.next(), later).0,
            Some(snapshot(4).event())
        );
    }

    #[tokio::test]
    async fn permits_are_bounded_and_returned() {
        let subscribers = Arc::new(Subscribers::new(8));
        let subscriptions: Vec<_> = (0..8)
            .map_while(|_| subscribe(&subscribers, 1, None))
            .collect();
        assert_eq!((subscriptions.len(), subscribers.products()), (4, vec![ID]));
        assert_eq!(subscribers.round(), 4 * PAUSE_PER_SUBSCRIBER);
        drop(subscriptions);
        assert_eq!(subscribers.products(), []);
        assert!(subscribe(&subscribers, 1, None).is_some());
    }
}
