//! A sale: its own database, its own log, and the processes that run it.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use holdfast_common::store::schema;
use holdfast_stack::Stack;
use reqwest::StatusCode;
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, PgPool};

use crate::client::{Answer, Client};
use crate::process::{Process, program};
use crate::shared_stack::SharedStack;
use crate::wait::until;
use crate::webhook::WEBHOOK_SECRET;

/// The admin token of every sale.
pub const ADMIN_TOKEN: &str = "an-admin-token-of-the-tests";

/// How many partitions a sale has: few, so that a test machine is not busy with idle ones.
pub const PARTITIONS: u16 = 4;

/// Keys for sales whose customers and payments are sealed: all of them where `HOLDFAST_SEALED` is set.
const SEALED: [(&str, &str); 2] = [
    (
        "ENCRYPTION_KEYS",
        "tests:AwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwM=",
    ),
    (
        "ENCRYPTION_INDEX_KEY",
        "BAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQ=",
    ),
];

/// How a sale is set up.
#[derive(Debug, Default)]
pub struct SaleBuilder {
    settings: Vec<(String, String)>,
    ingresses: usize,
    stack: Option<Place>,
}

/// The servers that a sale stands on.
#[derive(Debug)]
struct Place {
    database_url: String,
    nats_url: String,
    directory: PathBuf,
}

impl SaleBuilder {
    /// Stands on servers of its own, which its test may stop, and not on those that all tests share.
    #[must_use]
    pub fn on(mut self, stack: &Stack, directory: &Path) -> Self {
        let (database_url, nats_url) =
            (stack.database_url().to_owned(), stack.nats_url().to_owned());
        self.stack = Some(Place {
            database_url,
            nats_url,
            directory: directory.to_owned(),
        });
        self
    }

    /// A setting of all its programs.
    #[must_use]
    pub fn setting(mut self, name: &str, value: &str) -> Self {
        self.settings.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Lets the workers serve HTTP on a port that the operating system chooses; [`Sale::worker_client`] connects to it.
    #[must_use]
    pub fn worker_http(self) -> Self {
        self.setting("METRICS_PORT", "0")
            .setting("METRICS_ADDRESS", "127.0.0.1")
    }

    /// Has the demo store.
    #[must_use]
    pub fn demo_store(self) -> Self {
        self.setting("DEMO_STORE", "true")
    }

    /// How many ingresses it has.
    #[must_use]
    pub fn ingresses(mut self, count: usize) -> Self {
        self.ingresses = count;
        self
    }

    /// Starts it with one worker, and waits until it is ready.
    ///
    /// # Panics
    /// When it does not start.
    pub async fn start(self) -> Sale {
        let mut sale = self.start_without_workers().await;
        sale.start_worker().await;
        sale
    }

    /// Starts it with nobody to apply commands.
    ///
    /// # Panics
    /// When it does not start.
    pub async fn start_without_workers(self) -> Sale {
        let stack = match self.stack {
            Some(stack) => stack,
            None => shared().await,
        };
        let name = fresh_name();
        let database_url = create_database(&stack.database_url, &name).await;
        let pool = PgPool::connect(&database_url)
            .await
            .unwrap_or_else(|error| panic!("no database: {error}"));
        schema::migrate(&pool)
            .await
            .unwrap_or_else(|error| panic!("no schema: {error}"));
        let mut settings = vec![
            ("DATABASE_URL".to_owned(), database_url.clone()),
            ("NATS_URL".to_owned(), stack.nats_url),
            ("NATS_PREFIX".to_owned(), name.clone()),
            ("PARTITIONS".to_owned(), PARTITIONS.to_string()),
            ("LOG_MAX_MB".to_owned(), "64".to_owned()),
            ("PORT".to_owned(), "0".to_owned()),
            ("LISTEN_ADDRESS".to_owned(), "127.0.0.1".to_owned()),
            ("ADMIN_TOKEN".to_owned(), ADMIN_TOKEN.to_owned()),
            ("WEBHOOK_SECRETS".to_owned(), WEBHOOK_SECRET.to_owned()),
            // A test's clients all have one address. Its own settings come later and win.
            ("RATE_LIMIT_PER_IP".to_owned(), "0".to_owned()),
            ("RATE_LIMIT_PER_KEY".to_owned(), "0".to_owned()),
        ];
        if std::env::var_os("HOLDFAST_SEALED").is_some() {
            settings.extend(SEALED.map(|(name, value)| (name.to_owned(), value.to_owned())));
        }
        settings.extend(self.settings);
        let directory = stack.directory.join(&name);
        std::fs::create_dir_all(&directory)
            .unwrap_or_else(|error| panic!("{}: {error}", directory.display()));
        let mut sale = Sale {
            pool,
            database_url,
            name,
            settings,
            directory,
            ingresses: Vec::new(),
            clients: Vec::new(),
            workers: Vec::new(),
        };
        let keys = sale
            .settings
            .iter()
            .rfind(|(name, _)| name == "ENCRYPTION_KEYS");
        if keys.is_some_and(|(_, keys)| !keys.is_empty()) {
            let (ended_well, output) = sale.holdfast(&["keys", "rotate"]).await;
            assert!(ended_well, "{output}");
        }
        for _ in 0..self.ingresses.max(1) {
            sale.start_ingress().await;
        }
        sale
    }
}

async fn shared() -> Place {
    let stack = SharedStack::get().await;
    let (database_url, nats_url) = (stack.database_url().to_owned(), stack.nats_url().to_owned());
    Place {
        database_url,
        nats_url,
        directory: stack.directory().to_owned(),
    }
}

fn fresh_name() -> String {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    format!(
        "test_{}_{}",
        std::process::id(),
        COUNT.fetch_add(1, Ordering::Relaxed)
    )
}

async fn create_database(server: &str, name: &str) -> String {
    let created = async {
        let pool = PgPool::connect(server).await?;
        sqlx::query(AssertSqlSafe(format!("CREATE DATABASE {name}")))
            .execute(&pool)
            .await?;
        pool.close().await;
        Ok(())
    };
    created
        .await
        .unwrap_or_else(|error: sqlx::Error| panic!("{name} was not created: {error}"));
    let (base, _) = server.rsplit_once('/').unwrap_or((server, ""));
    format!("{base}/{name}")
}

/// A running sale. Dropping it kills its processes.
#[derive(Debug)]
pub struct Sale {
    /// Its tables, to look at.
    pub pool: PgPool,
    /// A client of each ingress.
    pub clients: Vec<Client>,
    /// Its workers' processes.
    pub workers: Vec<Process>,
    /// Its database, and its prefix in NATS.
    pub name: String,
    /// Its ingresses' processes.
    pub ingresses: Vec<Process>,
    database_url: String,
    settings: Vec<(String, String)>,
    directory: PathBuf,
}

impl Sale {
    /// A sale with one ingress and one worker.
    pub async fn start() -> Self {
        SaleBuilder::default().start().await
    }

    /// The client of the first ingress.
    #[must_use]
    pub fn client(&self) -> &Client {
        &self.clients[0]
    }

    /// A client of the first worker's HTTP server. It needs [`SaleBuilder::worker_http`].
    ///
    /// # Panics
    /// When the worker does not serve HTTP.
    pub async fn worker_client(&mut self) -> Client {
        let line = self.workers[0].line("\"serving metrics\"").await;
        Client::new(&format!("http://{}", address_in(&line)))
    }

    /// What the first ingress has written so far.
    #[must_use]
    pub fn ingress_output(&self) -> String {
        self.ingresses[0].output()
    }

    /// Sets a setting of all programs that are started from now on; without a value it is not set.
    pub fn set(&mut self, name: &str, value: Option<&str>) {
        self.settings.retain(|(set, _)| set != name);
        self.settings
            .extend(value.map(|value| (name.to_owned(), value.to_owned())));
    }

    /// Stops every ingress and worker, and waits until they have ended.
    pub async fn stop(&mut self) {
        self.clients.clear();
        for mut process in self
            .ingresses
            .drain(..)
            .chain(self.workers.drain(..))
            .collect::<Vec<_>>()
        {
            if process.has_ended().is_none() {
                process.signal(nix::sys::signal::Signal::SIGTERM);
            }
            process.ended().await;
        }
    }

    /// Starts an ingress, and waits until it listens.
    ///
    /// # Panics
    /// When it does not start.
    pub async fn start_ingress(&mut self) {
        let log = self.directory.join(format!("ingress-{}.log", fresh_name()));
        let settings = self.settings_as("holdfast_ingress");
        let mut ingress = Process::start(&program("holdfast-ingress"), &[], &settings, log);
        let line = ingress.line("\"listening\"").await;
        self.clients
            .push(Client::new(&format!("http://{}", address_in(&line))));
        self.ingresses.push(ingress);
    }

    /// The settings of a program that may do in Postgres what a role may. A test's own `DATABASE_URL` wins.
    fn settings_as(&self, role: &str) -> Vec<(String, String)> {
        let as_role = (
            "DATABASE_URL".to_owned(),
            format!("{}?options[role]={role}", self.database_url),
        );
        let settings = self.settings.iter();
        let settings = settings.map(|setting| {
            if setting.1 == self.database_url {
                &as_role
            } else {
                setting
            }
        });
        settings.cloned().collect()
    }

    /// Starts a worker process and waits until every partition has one.
    ///
    /// # Panics
    /// When that does not happen by the deadline.
    pub async fn start_worker(&mut self) {
        self.add_worker();
        until("a worker for every partition", async || {
            let taken =
                "SELECT count(*) FROM partitions WHERE owner IS NOT NULL AND lease_until > now()";
            let taken: i64 = sqlx::query_scalar(taken).fetch_one(&self.pool).await.ok()?;
            (taken == i64::from(PARTITIONS)).then_some(())
        })
        .await;
    }

    /// Starts a worker process, and does not wait for it.
    pub fn add_worker(&mut self) {
        let worker = self.worker_with(&[]);
        self.workers.push(worker);
    }

    /// A worker process with more settings than the others have, for its test to keep.
    #[must_use]
    pub fn worker_with(&self, more: &[(&str, &str)]) -> Process {
        let mut settings = self.settings_as("holdfast_worker");
        settings.extend(
            more.iter()
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned())),
        );
        let log = self.directory.join(format!("worker-{}.log", fresh_name()));
        Process::start(&program("holdfast-workers"), &[], &settings, log)
    }

    /// An ingress process with more settings than the others have, for its test to keep.
    #[must_use]
    pub fn ingress_with(&self, more: &[(&str, &str)]) -> Process {
        let mut settings = self.settings_as("holdfast_ingress");
        settings.extend(
            more.iter()
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned())),
        );
        let log = self.directory.join(format!("ingress-{}.log", fresh_name()));
        Process::start(&program("holdfast-ingress"), &[], &settings, log)
    }

    /// Adds a product with this stock, by the administration.
    ///
    /// # Panics
    /// When it is not created.
    pub async fn product(&self, total_stock: i64) -> i64 {
        let body = json!({"name": "Lamp", "price_minor": 9999, "currency": "USD", "total_stock": total_stock});
        let answer = self.admin_post("/api/admin/products", &body).await;
        assert_eq!(answer.status, StatusCode::CREATED, "{answer:?}");
        answer.body["id"]
            .as_i64()
            .unwrap_or_else(|| panic!("{answer:?}"))
    }

    /// Holds units and orders them; says the order's id.
    ///
    /// # Panics
    /// When either is refused.
    pub async fn order(&self, product_id: i64, quantity: i64) -> String {
        let hold = self.client().hold(product_id, quantity, &[]).await;
        let hold_id = hold.body["hold_id"]
            .as_str()
            .unwrap_or_else(|| panic!("{hold:?}"));
        let order = self
            .client()
            .post("/api/orders", &[], &json!({"hold_id": hold_id}))
            .await;
        assert_eq!(order.status, StatusCode::CREATED, "{order:?}");
        hold_id.to_owned()
    }

    /// Runs a command of `holdfast` on this sale; says whether it ended well, and what it printed.
    ///
    /// # Panics
    /// When it does not run.
    pub async fn holdfast(&self, arguments: &[&str]) -> (bool, String) {
        let mut process = self.holdfast_with(arguments, &[]);
        let ended_well = process.ended().await;
        (ended_well, process.output())
    }

    /// Runs a command of `holdfast` on this sale; says its exit code, and the JSON documents that it printed.
    ///
    /// # Panics
    /// When it does not run, or is ended by a signal.
    pub async fn operator(&self, arguments: &[&str]) -> (i32, Vec<Value>) {
        let mut process = self.holdfast_with(arguments, &[]);
        let code = process.exit_status().await.code();
        let output = process.output();
        let code = code.unwrap_or_else(|| panic!("a signal ended it:\n{output}"));
        (
            code,
            output
                .lines()
                .filter_map(|line| serde_json::from_str(line).ok())
                .collect(),
        )
    }

    /// Starts a command of `holdfast` on this sale with more settings than the others have.
    #[must_use]
    pub fn holdfast_with(&self, arguments: &[&str], more: &[(&str, &str)]) -> Process {
        let mut settings = self.settings.clone();
        settings.extend(
            more.iter()
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned())),
        );
        let log = self
            .directory
            .join(format!("holdfast-{}.log", fresh_name()));
        Process::start(&program("holdfast"), arguments, &settings, log)
    }

    /// `GET` with the admin token.
    pub async fn admin_get(&self, path: &str) -> Answer {
        let authorization = format!("Bearer {ADMIN_TOKEN}");
        self.client()
            .send(
                reqwest::Method::GET,
                path,
                &[("authorization", &authorization)],
                None,
            )
            .await
    }

    /// `POST` with the admin token.
    pub async fn admin_post(&self, path: &str, body: &Value) -> Answer {
        let authorization = format!("Bearer {ADMIN_TOKEN}");
        self.client()
            .post(path, &[("authorization", &authorization)], body)
            .await
    }

    /// One number from the tables.
    ///
    /// # Panics
    /// When the query fails.
    pub async fn count(&self, query: &'static str, product_id: i64) -> i64 {
        let count = sqlx::query_scalar(query)
            .bind(product_id)
            .fetch_one(&self.pool)
            .await;
        count.unwrap_or_else(|error| panic!("{query}: {error}"))
    }
}

/// The address in a log line about a started server.
fn address_in(line: &str) -> String {
    let line: Value = serde_json::from_str(line).unwrap_or_default();
    match line["address"].as_str() {
        Some(address) => address.to_owned(),
        None => panic!("no address in {line}"),
    }
}
