//! A sale for one test: its own database, its own log in NATS, and its own processes.

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

/// The number of partitions of a sale. It is small, because idle partitions use CPU time.
pub const PARTITIONS: u16 = 4;

/// Settings for encryption. All sales use them when `HOLDFAST_SEALED` is set.
const ENCRYPTION: [(&str, &str); 2] = [
    (
        "ENCRYPTION_KEYS",
        "tests:AwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwM=",
    ),
    (
        "ENCRYPTION_INDEX_KEY",
        "BAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQ=",
    ),
];

/// Options of a sale.
#[derive(Debug, Default)]
pub struct SaleBuilder {
    settings: Vec<(String, String)>,
    ingresses: usize,
    servers: Option<Servers>,
}

/// The servers of a sale, and the directory of its logs.
#[derive(Debug)]
struct Servers {
    database_url: String,
    nats_url: String,
    directory: PathBuf,
}

impl SaleBuilder {
    /// Uses the servers of a separate stack, which the test may stop. By default, all tests share one stack.
    #[must_use]
    pub fn on(mut self, stack: &Stack, directory: &Path) -> Self {
        let (database_url, nats_url) =
            (stack.database_url().to_owned(), stack.nats_url().to_owned());
        self.servers = Some(Servers {
            database_url,
            nats_url,
            directory: directory.to_owned(),
        });
        self
    }

    /// Sets an environment variable of all programs.
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

    /// Turns on the demo store.
    #[must_use]
    pub fn demo_store(self) -> Self {
        self.setting("DEMO_STORE", "true")
    }

    /// Sets the number of ingresses.
    #[must_use]
    pub fn ingresses(mut self, count: usize) -> Self {
        self.ingresses = count;
        self
    }

    /// Starts the sale with one worker, and waits until it is ready.
    ///
    /// # Panics
    /// When a program does not start.
    pub async fn start(self) -> Sale {
        let mut sale = self.start_without_workers().await;
        sale.start_worker().await;
        sale
    }

    /// Starts the sale without a worker, so that no command is applied.
    ///
    /// # Panics
    /// When a program does not start.
    pub async fn start_without_workers(self) -> Sale {
        let servers = match self.servers {
            Some(servers) => servers,
            None => shared_servers().await,
        };
        let name = unique_name();
        let database_url = create_database(&servers.database_url, &name).await;
        let pool = PgPool::connect(&database_url)
            .await
            .unwrap_or_else(|error| panic!("can't connect to the new database: {error}"));
        schema::migrate(&pool)
            .await
            .unwrap_or_else(|error| panic!("the migrations failed: {error}"));
        let mut settings = vec![
            ("DATABASE_URL".to_owned(), database_url.clone()),
            ("NATS_URL".to_owned(), servers.nats_url),
            ("NATS_PREFIX".to_owned(), name.clone()),
            ("PARTITIONS".to_owned(), PARTITIONS.to_string()),
            ("LOG_MAX_MB".to_owned(), "64".to_owned()),
            ("PORT".to_owned(), "0".to_owned()),
            ("LISTEN_ADDRESS".to_owned(), "127.0.0.1".to_owned()),
            ("ADMIN_TOKEN".to_owned(), ADMIN_TOKEN.to_owned()),
            ("WEBHOOK_SECRETS".to_owned(), WEBHOOK_SECRET.to_owned()),
            // All clients of a test have the same address. A test's own settings follow and win.
            ("RATE_LIMIT_PER_IP".to_owned(), "0".to_owned()),
            ("RATE_LIMIT_PER_KEY".to_owned(), "0".to_owned()),
        ];
        if std::env::var_os("HOLDFAST_SEALED").is_some() {
            settings.extend(ENCRYPTION.map(|(name, value)| (name.to_owned(), value.to_owned())));
        }
        settings.extend(self.settings);
        let directory = servers.directory.join(&name);
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

async fn shared_servers() -> Servers {
    let stack = SharedStack::get().await;
    let (database_url, nats_url) = (stack.database_url().to_owned(), stack.nats_url().to_owned());
    Servers {
        database_url,
        nats_url,
        directory: stack.directory().to_owned(),
    }
}

fn unique_name() -> String {
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
    /// Connections to the database.
    pub pool: PgPool,
    /// A client of each ingress.
    pub clients: Vec<Client>,
    pub workers: Vec<Process>,
    /// The name of the database, and the prefix in NATS.
    pub name: String,
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

    /// The output of the first ingress so far.
    #[must_use]
    pub fn ingress_output(&self) -> String {
        self.ingresses[0].output()
    }

    /// Changes a setting of all programs that are started from now on; `None` removes it.
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
    /// When the ingress does not start.
    pub async fn start_ingress(&mut self) {
        let log = self
            .directory
            .join(format!("ingress-{}.log", unique_name()));
        let settings = self.settings_as("holdfast_ingress");
        let mut ingress = Process::start(&program("holdfast-ingress"), &[], &settings, log);
        let line = ingress.line("\"listening\"").await;
        self.clients
            .push(Client::new(&format!("http://{}", address_in(&line))));
        self.ingresses.push(ingress);
    }

    /// The settings of a program that connects to Postgres with this role. A test's own `DATABASE_URL` wins.
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

    /// Starts a worker, and waits until every partition has an owner.
    ///
    /// # Panics
    /// When a partition has no owner by the deadline.
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

    /// Starts a worker, and does not wait for it.
    pub fn add_worker(&mut self) {
        let worker = self.worker_with(&[]);
        self.workers.push(worker);
    }

    /// Starts a worker with additional settings. The caller keeps the process.
    #[must_use]
    pub fn worker_with(&self, more: &[(&str, &str)]) -> Process {
        let mut settings = self.settings_as("holdfast_worker");
        settings.extend(
            more.iter()
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned())),
        );
        let log = self.directory.join(format!("worker-{}.log", unique_name()));
        Process::start(&program("holdfast-workers"), &[], &settings, log)
    }

    /// Starts an ingress with additional settings. The caller keeps the process.
    #[must_use]
    pub fn ingress_with(&self, more: &[(&str, &str)]) -> Process {
        let mut settings = self.settings_as("holdfast_ingress");
        settings.extend(
            more.iter()
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned())),
        );
        let log = self
            .directory
            .join(format!("ingress-{}.log", unique_name()));
        Process::start(&program("holdfast-ingress"), &[], &settings, log)
    }

    /// Creates a product with this stock; returns its id.
    ///
    /// # Panics
    /// When the ingress refuses.
    pub async fn product(&self, total_stock: i64) -> i64 {
        let body = json!({"name": "Lamp", "price_minor": 9999, "currency": "USD", "total_stock": total_stock});
        let answer = self.admin_post("/api/admin/products", &body).await;
        assert_eq!(answer.status, StatusCode::CREATED, "{answer:?}");
        answer.body["id"]
            .as_i64()
            .unwrap_or_else(|| panic!("{answer:?}"))
    }

    /// Holds and orders units; returns the id of the order.
    ///
    /// # Panics
    /// When the ingress refuses.
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

    /// Runs a command of `holdfast`; returns whether it succeeded, and its output.
    ///
    /// # Panics
    /// When the command does not start or end.
    pub async fn holdfast(&self, arguments: &[&str]) -> (bool, String) {
        let mut process = self.holdfast_with(arguments, &[]);
        let ended_well = process.ended().await;
        (ended_well, process.output())
    }

    /// Runs a command of `holdfast`; returns its exit code, and the JSON documents of its output.
    ///
    /// # Panics
    /// When the command does not start or end, or a signal ends it.
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

    /// Starts a command of `holdfast` with additional settings.
    #[must_use]
    pub fn holdfast_with(&self, arguments: &[&str], more: &[(&str, &str)]) -> Process {
        let mut settings = self.settings.clone();
        settings.extend(
            more.iter()
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned())),
        );
        let log = self
            .directory
            .join(format!("holdfast-{}.log", unique_name()));
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

    /// Runs a query that returns one number.
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
