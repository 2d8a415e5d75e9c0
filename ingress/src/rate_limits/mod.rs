//! How often one client may ask: by its address, and by the customer it asks for; and how often it may try to sign in.
//!
//! A request that is refused here never becomes a command, and nothing is kept of it but its client's full bucket. The
//! payment webhook and the administration are not limited: a provider that sends all of a sale's payments at once has one
//! address, and must never hear 429. Each ingress counts for itself.

pub mod buckets;
pub mod limit;

use std::net::{IpAddr, Ipv4Addr};
use std::sync::{Arc, Weak};
use std::time::Duration;

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use holdfast_common::settings::{LimitSettings, Networks};

use self::limit::{Left, Limit};
use crate::http::problem::Problem;
use crate::server::client_address::{Peer, client_address, network_of};

/// How often those who are within their limit are forgotten.
const SWEEP_EVERY: Duration = Duration::from_secs(1);

/// The limits of an ingress.
pub struct RateLimits {
    by_address: Option<Limit>,
    by_customer: Option<Limit>,
    sign_ins: Option<Limit>,
    trusted_proxies: Networks,
}

impl RateLimits {
    /// The limits that are set, with a task that keeps them small. It ends with them.
    #[must_use]
    pub fn start(settings: &LimitSettings) -> Arc<Self> {
        let by_address = Limit::new("ip", settings.rate_limit_per_ip);
        let by_customer = Limit::new("customer", settings.rate_limit_per_key);
        let trusted_proxies = settings.trusted_proxies.clone();
        let limits = Arc::new(Self {
            by_address,
            by_customer,
            sign_ins: Limit::of_sign_ins(),
            trusted_proxies,
        });
        tokio::spawn(sweep(Arc::downgrade(&limits)));
        limits
    }

    /// Whether addresses are limited: without a limit its layer need not be there.
    #[must_use]
    pub fn has_address_limit(&self) -> bool {
        self.by_address.is_some()
    }

    /// Counts a request for a customer.
    ///
    /// # Errors
    /// 429 when it is one too many.
    pub fn check_customer(&self, customer_id: Option<&str>) -> Result<Option<Left>, Problem> {
        match (&self.by_customer, customer_id) {
            (Some(limit), Some(customer_id)) => limit.check(customer_id).map(Some),
            _ => Ok(None),
        }
    }

    fn check_address(&self, request: &Request) -> Result<Option<Left>, Problem> {
        self.by_address
            .as_ref()
            .map(|limit| limit.check(&self.network(request)))
            .transpose()
    }

    /// Counts a try to sign in by its client's address, right or wrong, before the token is looked at. There is no setting:
    /// nobody signs in so often.
    ///
    /// # Errors
    /// 429 when it is one too many.
    pub fn check_sign_in(&self, request: &Request) -> Result<(), Problem> {
        self.sign_ins.as_ref().map_or(Ok(()), |limit| {
            limit.check(&self.network(request)).map(drop)
        })
    }

    fn network(&self, request: &Request) -> IpAddr {
        let unknown = Peer(IpAddr::V4(Ipv4Addr::UNSPECIFIED));
        let Peer(peer) = request.extensions().get().copied().unwrap_or(unknown);
        network_of(client_address(
            peer,
            request.headers(),
            &self.trusted_proxies,
        ))
    }
}

/// Lets a request through when its client's address is within the limit, before anything else of it is read.
pub async fn by_address(
    State(limits): State<Arc<RateLimits>>,
    request: Request,
    next: Next,
) -> Response {
    match limits.check_address(&request) {
        Ok(left) => with_rate_limit_headers(next.run(request).await, left),
        Err(refused) => refused.into_response(),
    }
}

/// Adds the `RateLimit` headers to a response, when there is a limit.
#[must_use]
pub fn with_rate_limit_headers(mut response: Response, left: Option<Left>) -> Response {
    if let Some(left) = left {
        left.add_to(response.headers_mut());
    }
    response
}

async fn sweep(limits: Weak<RateLimits>) {
    loop {
        tokio::time::sleep(SWEEP_EVERY).await;
        let Some(limits) = limits.upgrade() else {
            return;
        };
        let all = [&limits.by_address, &limits.by_customer, &limits.sign_ins];
        all.into_iter().flatten().for_each(Limit::sweep);
    }
}
