//! Traces: a request's way through HTTP, the log and a batch, for OpenTelemetry.
//!
//! Built only with the feature `otel`, and on only where `OTEL_EXPORTER_OTLP_ENDPOINT` is set; the other `OTEL_…`
//! variables mean what OpenTelemetry says. Spans are `tracing`'s, under the target [`TARGET`]. An envelope carries the
//! contexts of the requests whose commands are in it as `traceparent` headers (W3C Trace Context), and the batch that
//! applies it links to each. Spans have names, ids and counts: nothing that a client wrote.

/// The target of all spans.
pub const TARGET: &str = "holdfast_common::traces";

/// The contexts of requests that an envelope carries, or that a batch links to.
#[derive(Debug, Default)]
pub struct Links {
    #[cfg(feature = "otel")]
    contexts: Vec<String>,
}

#[cfg(not(feature = "otel"))]
impl Links {
    /// Nothing: built without traces.
    pub fn add_current(&mut self) {}

    /// Nothing: built without traces.
    pub fn read(&mut self, _headers: Option<&async_nats::HeaderMap>) {}

    /// No headers: built without traces.
    #[must_use]
    pub fn headers(&self) -> async_nats::HeaderMap {
        async_nats::HeaderMap::new()
    }

    /// Nothing: built without traces.
    pub fn link(&self, _span: &tracing::Span) {}
}

/// Nothing: built without traces.
#[cfg(not(feature = "otel"))]
pub fn adopt(_span: &tracing::Span, _traceparent: Option<&str>) {}

#[cfg(feature = "otel")]
pub use self::otel::adopt;
#[cfg(feature = "otel")]
pub(crate) use self::otel::{layer, stop};

#[cfg(feature = "otel")]
mod otel {
    use std::collections::HashMap;
    use std::sync::OnceLock;

    use opentelemetry::propagation::TextMapPropagator;
    use opentelemetry::trace::{SpanContext, TraceContextExt, TracerProvider};
    use opentelemetry_otlp::SpanExporter;
    use opentelemetry_sdk::Resource;
    use opentelemetry_sdk::propagation::TraceContextPropagator;
    use opentelemetry_sdk::trace::SdkTracerProvider;
    use tracing::{Span, Subscriber};
    use tracing_opentelemetry::OpenTelemetrySpanExt;
    use tracing_subscriber::Layer;
    use tracing_subscriber::filter::filter_fn;
    use tracing_subscriber::registry::LookupSpan;

    use super::{Links, TARGET};

    /// The variable that turns traces on.
    const ENDPOINT: &str = "OTEL_EXPORTER_OTLP_ENDPOINT";
    const TRACEPARENT: &str = "traceparent";
    /// The most contexts that an envelope carries. Those of its first commands stand for the others.
    const ENVELOPE_LINKS_MAX: usize = 16;
    /// The most that a batch links to: as many as OpenTelemetry keeps of one span by default.
    const BATCH_LINKS_MAX: usize = 128;

    static PROVIDER: OnceLock<SdkTracerProvider> = OnceLock::new();

    /// What makes spans of `tracing` spans of OpenTelemetry, where an endpoint is set.
    pub(crate) fn layer<S>(program: &'static str) -> Option<Box<dyn Layer<S> + Send + Sync>>
    where
        S: Subscriber + for<'a> LookupSpan<'a> + Send + Sync,
    {
        std::env::var_os(ENDPOINT).filter(|endpoint| !endpoint.is_empty())?;
        // The exporter's client needs one; only the first call in a process counts, and any of them will do.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let exporter = match SpanExporter::builder().with_http().build() {
            Ok(exporter) => exporter,
            Err(error) => {
                eprintln!("no traces: {error}. Correct {ENDPOINT}");
                return None;
            }
        };
        let provider = PROVIDER.get_or_init(|| {
            let resource = Resource::builder();
            // As anybody would name it who has not set OTEL_SERVICE_NAME.
            let is_named = std::env::var_os("OTEL_SERVICE_NAME").is_some();
            let resource = if is_named {
                resource
            } else {
                resource.with_service_name(program)
            };
            SdkTracerProvider::builder()
                .with_batch_exporter(exporter)
                .with_resource(resource.build())
                .build()
        });
        let traces = tracing_opentelemetry::layer().with_tracer(provider.tracer("holdfast"));
        let traces = traces
            .with_location(false)
            .with_threads(false)
            .with_tracked_inactivity(false)
            .with_target(false);
        Some(
            traces
                .with_filter(filter_fn(|metadata| {
                    metadata.is_span() && metadata.target() == TARGET
                }))
                .boxed(),
        )
    }

    /// Sends what is still here.
    pub(crate) fn stop() {
        if let Some(Err(error)) = PROVIDER.get().map(SdkTracerProvider::shutdown) {
            eprintln!("the last traces were not sent: {error}");
        }
    }

    fn is_on() -> bool {
        PROVIDER.get().is_some()
    }

    /// Makes a span a child of the one that a client's `traceparent` names.
    pub fn adopt(span: &Span, traceparent: Option<&str>) {
        if let Some(traceparent) = traceparent.filter(|_| is_on()) {
            let carrier = HashMap::from([(TRACEPARENT.to_owned(), traceparent.to_owned())]);
            // It fails only for a span that nobody records.
            let _ = span.set_parent(TraceContextPropagator::new().extract(&carrier));
        }
    }

    fn parse(traceparent: &str) -> SpanContext {
        let carrier = HashMap::from([(TRACEPARENT.to_owned(), traceparent.to_owned())]);
        TraceContextPropagator::new()
            .extract(&carrier)
            .span()
            .span_context()
            .clone()
    }

    impl Links {
        /// Adds the request that is being answered, if it is recorded and there is room.
        pub fn add_current(&mut self) {
            if !is_on() || self.contexts.len() >= ENVELOPE_LINKS_MAX {
                return;
            }
            let context = Span::current().context();
            let context = context.span().span_context().clone();
            if context.is_sampled() {
                self.contexts.push(format!(
                    "00-{}-{}-01",
                    context.trace_id(),
                    context.span_id()
                ));
            }
        }

        /// Adds what an envelope carries.
        pub fn read(&mut self, headers: Option<&async_nats::HeaderMap>) {
            let Some(headers) = headers.filter(|_| is_on()) else {
                return;
            };
            let room = BATCH_LINKS_MAX.saturating_sub(self.contexts.len());
            let carried = headers
                .get_all(TRACEPARENT)
                .map(|value| value.as_str().to_owned());
            self.contexts
                .extend(carried.take(room.min(ENVELOPE_LINKS_MAX)));
        }

        /// As an envelope carries them.
        #[must_use]
        pub fn headers(&self) -> async_nats::HeaderMap {
            let mut headers = async_nats::HeaderMap::new();
            self.contexts
                .iter()
                .for_each(|context| headers.append(TRACEPARENT, context.as_str()));
            headers
        }

        /// Links a span to each.
        pub fn link(&self, span: &Span) {
            self.contexts
                .iter()
                .map(|context| parse(context))
                .for_each(|context| span.add_link(context));
        }
    }
}
