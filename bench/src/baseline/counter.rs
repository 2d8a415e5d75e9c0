//! A counter in Redis. A script takes units and appends the hold to a list; a writer moves the list to Postgres later.
//!
//! It is not durable: accepted holds are lost when Redis fails, or when the writer fails before its commit.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context;
use redis::AsyncCommands;
use redis::aio::MultiplexedConnection;
use sqlx::PgPool;
use tokio::time::{Instant, sleep};
use uuid::Uuid;

use super::NewHold;
use crate::environment::Environment;
use crate::programs::Process;

/// Takes units if enough are left, and appends the hold to the list. Returns -1 when the counter does not exist.
const TAKE: &str = "
    local left = redis.call('GET', KEYS[1])
    if not left then return -1 end
    if tonumber(left) < tonumber(ARGV[1]) then return 0 end
    redis.call('DECRBY', KEYS[1], ARGV[1])
    redis.call('RPUSH', KEYS[2], ARGV[2])
    return 1";
/// The list of accepted holds that are not in Postgres yet.
const LIST: &str = "holds";
/// Holds per write to Postgres.
const BATCH_MAX: usize = 1000;
/// Time between two polls: of the list by the writer, and of a starting server.
const POLL: Duration = Duration::from_millis(5);
const START_WAIT: Duration = Duration::from_secs(10);

pub(super) struct Counter {
    redis: MultiplexedConnection,
    take: redis::Script,
}

impl Counter {
    /// Connects to `REDIS_URL` and starts the writer.
    pub(super) async fn connect(pool: &PgPool) -> anyhow::Result<Self> {
        let url = std::env::var("REDIS_URL").context("REDIS_URL is not set")?;
        let client = redis::Client::open(url)?;
        let redis = client.get_multiplexed_async_connection().await?;
        tokio::spawn(write(
            client.get_multiplexed_async_connection().await?,
            pool.clone(),
        ));
        Ok(Self {
            redis,
            take: redis::Script::new(TAKE),
        })
    }

    /// Makes a hold; returns false when there is not enough stock.
    pub(super) async fn hold(
        &self,
        pool: &PgPool,
        hold_id: Uuid,
        new: &NewHold,
    ) -> anyhow::Result<bool> {
        let key = format!("stock:{}", new.product_id);
        let mut redis = self.redis.clone();
        let mut take = self.take.key(&key);
        take.key(LIST)
            .arg(new.quantity)
            .arg(format!("{hold_id} {} {}", new.product_id, new.quantity));
        loop {
            match take.invoke_async::<i64>(&mut redis).await? {
                1 => return Ok(true),
                0 => return Ok(false),
                _ => {
                    let available: Option<i64> =
                        sqlx::query_scalar("SELECT available FROM stock WHERE product_id = $1")
                            .bind(new.product_id)
                            .fetch_optional(pool)
                            .await?;
                    let _: bool = redis.set_nx(&key, available.unwrap_or_default()).await?;
                }
            }
        }
    }
}

/// Moves the list to Postgres, until an error.
async fn write(mut redis: MultiplexedConnection, pool: PgPool) -> anyhow::Result<()> {
    let at_most = std::num::NonZeroUsize::new(BATCH_MAX);
    loop {
        let entries: Option<Vec<String>> = redis.lpop(LIST, at_most).await?;
        let Some(entries) = entries.filter(|entries| !entries.is_empty()) else {
            sleep(POLL).await;
            continue;
        };
        let (mut ids, mut products, mut quantities) = (Vec::new(), Vec::new(), Vec::new());
        for entry in &entries {
            let mut fields = entry.split(' ');
            ids.push(fields.next().unwrap_or_default().parse::<Uuid>()?);
            products.push(fields.next().unwrap_or_default().parse::<i64>()?);
            quantities.push(fields.next().unwrap_or_default().parse::<i64>()?);
        }
        let statement = "
            WITH made AS (
                INSERT INTO holds SELECT hold_id, product_id, quantity, 'active', now(), now() + interval '2 minutes'
                FROM UNNEST($1::uuid[], $2::bigint[], $3::bigint[]) h(hold_id, product_id, quantity)
                RETURNING product_id, quantity
            ), sums AS (SELECT product_id, sum(quantity) AS units FROM made GROUP BY 1)
            UPDATE stock s SET available = available - units, held = held + units FROM sums
            WHERE s.product_id = sums.product_id";
        sqlx::query(statement)
            .bind(&ids)
            .bind(&products)
            .bind(&quantities)
            .execute(&pool)
            .await?;
    }
}

/// The path of redis-server, if it is installed.
pub(crate) fn program() -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path)
        .map(|directory| directory.join("redis-server"))
        .find(|program| program.is_file())
}

/// Starts a Redis without persistence; returns its URL.
///
/// # Errors
/// When Redis does not start.
pub(crate) async fn start(
    environment: &Environment,
    program: PathBuf,
) -> anyhow::Result<(Process, String)> {
    let port = std::net::TcpListener::bind("127.0.0.1:0")?
        .local_addr()?
        .port();
    let arguments = [
        "--bind",
        "127.0.0.1",
        "--port",
        &port.to_string(),
        "--save",
        "",
        "--appendonly",
        "no",
    ];
    let process = Process::start(
        &program,
        &arguments,
        &[],
        environment.directory.join("redis.log"),
    )?;
    let url = format!("redis://127.0.0.1:{port}/");
    let client = redis::Client::open(url.as_str())?;
    let deadline = Instant::now() + START_WAIT;
    while let Err(error) = client.get_multiplexed_async_connection().await {
        anyhow::ensure!(
            Instant::now() < deadline,
            "redis-server does not respond: {error}"
        );
        sleep(POLL).await;
    }
    Ok((process, url))
}
