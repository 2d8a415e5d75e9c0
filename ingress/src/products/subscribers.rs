//! Who watches which product: subscribers of `GET /api/products/{id}/events`.
//!
//! A product that somebody watches has one cell with its newest version. No subscriber has a queue: each looks at the cell
//! when it may be sent something again, and what lay there in between is never sent. So a slow one costs nothing, and a
//! product that changes all the time wakes nobody more often than it is shown. How often that is falls with the number of
//! subscribers: writing to connections is what they cost.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use bytes::Bytes;
use holdfast_common::id::ProductId;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::{Instant, sleep, sleep_until, timeout};

use crate::commands::waiters::Waiting;
use crate::products::snapshot::Shown;

/// The share of connections, one in so many, that subscribers may have.
const SUBSCRIBERS_SHARE: usize = 2;
/// The shortest pause between two events of a subscriber: at most 10 a second.
const PACE_MIN: Duration = Duration::from_millis(100);
/// The longest, so that the last of many changes is seen within a second.
const PACE_MAX: Duration = Duration::from_millis(800);
/// What one event costs an ingress: all subscribers together are sent about 10,000 a second.
const PACE_FOR_EACH: Duration = Duration::from_micros(100);
/// How long a stream is silent at most. Proxies end what is silent for a minute.
const SILENCE_MAX: Duration = Duration::from_secs(15);
/// A comment: what a stream says when there is nothing to say.
const COMMENT: Bytes = Bytes::from_static(b":\n\n");

type Cell = watch::Sender<Arc<Shown>>;

/// Every product that somebody watches.
#[derive(Debug)]
pub struct Audiences {
    cells: RwLock<HashMap<ProductId, Cell>>,
    places: Arc<Semaphore>,
    places_max: usize,
}

impl Audiences {
    /// Nobody watches. A subscriber has a connection for itself, so the places are a share of those.
    #[must_use]
    pub fn new(connections_max: usize) -> Self {
        let places_max = connections_max / SUBSCRIBERS_SHARE;
        Self {
            cells: RwLock::default(),
            places: Arc::new(Semaphore::new(places_max)),
            places_max,
        }
    }

    /// A place for one more subscriber; `None` when there are too many.
    #[must_use]
    pub fn place(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.places).try_acquire_owned().ok()
    }

    /// Begins to watch a product. `has` is the version that the client has already, `places` what it takes up.
    pub fn subscribe(
        self: &Arc<Self>,
        shown: &Arc<Shown>,
        has: Option<i64>,
        places: (OwnedSemaphorePermit, Waiting),
    ) -> Subscription {
        let mut cells = self.cells.write().unwrap_or_else(PoisonError::into_inner);
        let cell = cells
            .entry(shown.product().id)
            .or_insert_with(|| watch::Sender::new(Arc::clone(shown)));
        offer(cell, shown);
        let mut newest = cell.subscribe();
        newest.mark_changed();
        Subscription {
            audiences: Arc::clone(self),
            newest,
            has,
            may_send_at: Instant::now(),
            _places: places,
        }
    }

    /// Shows a product to those who watch it, unless they have been shown a newer version.
    pub fn show(&self, shown: &Arc<Shown>) {
        let cells = self.cells.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(cell) = cells.get(&shown.product().id) {
            offer(cell, shown);
        }
    }

    /// The products that somebody watches.
    #[must_use]
    pub fn watched(&self) -> Vec<ProductId> {
        let mut cells = self.cells.write().unwrap_or_else(PoisonError::into_inner);
        cells.retain(|_, cell| cell.receiver_count() > 0);
        cells.keys().copied().collect()
    }

    /// How long it takes to send everybody one event.
    fn round(&self) -> Duration {
        let subscribers = self
            .places_max
            .saturating_sub(self.places.available_permits());
        PACE_FOR_EACH * u32::try_from(subscribers).unwrap_or(u32::MAX)
    }
}

fn offer(cell: &Cell, shown: &Arc<Shown>) {
    cell.send_if_modified(|known| {
        let is_newer = known.product().version < shown.product().version;
        if is_newer {
            *known = Arc::clone(shown);
        }
        is_newer
    });
}

/// One subscriber.
#[derive(Debug)]
pub struct Subscription {
    audiences: Arc<Audiences>,
    newest: watch::Receiver<Arc<Shown>>,
    /// The version that the client has.
    has: Option<i64>,
    may_send_at: Instant,
    _places: (OwnedSemaphorePermit, Waiting),
}

impl Subscription {
    /// What is sent next, when it is time to send it: the product's newest version, or a comment after a long silence.
    /// `None` when there will be no more.
    pub async fn next(&mut self) -> Option<Bytes> {
        sleep_until(self.may_send_at).await;
        loop {
            if !self.newest.has_changed().ok()? {
                match timeout(SILENCE_MAX, self.newest.changed()).await {
                    Ok(changed) => changed.ok()?,
                    Err(_) => return Some(COMMENT),
                }
                // All who watched something quiet wake at once. They take turns, or everything else would wait for them.
                let round = self.audiences.round().min(PACE_MAX);
                sleep(round.mul_f32(rand::random_range(0.0..1.0))).await;
            }
            let shown = Arc::clone(&self.newest.borrow_and_update());
            let version = shown.product().version;
            if self.has != Some(version) {
                self.has = Some(version);
                self.may_send_at =
                    Instant::now() + self.audiences.round().clamp(PACE_MIN, PACE_MAX);
                return Some(shown.event());
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
    use crate::commands::load_shedding::Room;
    use crate::commands::waiters::Waiters;

    const ID: ProductId = ProductId(1);

    fn shown(version: i64) -> Arc<Shown> {
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
        Arc::new(Shown::from(ProductAsOf {
            product,
            as_of: Timestamp(0),
        }))
    }

    fn subscribe(
        audiences: &Arc<Audiences>,
        version: i64,
        has: Option<i64>,
    ) -> Option<Subscription> {
        let waiting = Arc::new(Waiters::new(8))
            .wait(RequestId::new(ID.slot(), 0, 0), Room::Open)
            .unwrap();
        Some(audiences.subscribe(&shown(version), has, (audiences.place()?, waiting)))
    }

    #[tokio::test]
    async fn a_subscriber_is_sent_the_newest_version_and_none_that_lay_in_between() {
        let audiences = Arc::new(Audiences::new(8));
        let mut subscription = subscribe(&audiences, 1, None).unwrap();
        assert_eq!(subscription.next().await, Some(shown(1).event()));
        for version in [2, 5, 4, 3] {
            audiences.show(&shown(version));
        }
        let before = Instant::now();
        assert_eq!(subscription.next().await, Some(shown(5).event()));
        assert!(subscription.may_send_at >= before + PACE_MIN);
        let later = async {
            tokio::task::yield_now().await;
            audiences.show(&shown(6));
        };
        assert_eq!(
            futures_util::join!(subscription.next(), later).0,
            Some(shown(6).event())
        );
    }

    #[tokio::test]
    async fn who_has_the_newest_version_is_sent_the_next() {
        let audiences = Arc::new(Audiences::new(8));
        let (mut up_to_date, mut behind) = (
            subscribe(&audiences, 3, Some(3)).unwrap(),
            subscribe(&audiences, 3, Some(2)).unwrap(),
        );
        assert_eq!(behind.next().await, Some(shown(3).event()));
        let later = async {
            tokio::task::yield_now().await;
            audiences.show(&shown(4));
        };
        assert_eq!(
            futures_util::join!(up_to_date.next(), later).0,
            Some(shown(4).event())
        );
    }

    #[tokio::test]
    async fn places_are_bounded_and_given_back() {
        let audiences = Arc::new(Audiences::new(8));
        let subscribers: Vec<_> = (0..8)
            .map_while(|_| subscribe(&audiences, 1, None))
            .collect();
        assert_eq!((subscribers.len(), audiences.watched()), (4, vec![ID]));
        assert_eq!(audiences.round(), 4 * PACE_FOR_EACH);
        drop(subscribers);
        assert_eq!(audiences.watched(), []);
        assert!(subscribe(&audiences, 1, None).is_some());
    }
}
