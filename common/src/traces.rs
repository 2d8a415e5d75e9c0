//! OpenTelemetry traces: the path of a request through HTTP, the log and a batch.
//!
//! Built only with the feature `otel`, and active only when `OTEL_EXPORTER_OTLP_ENDPOINT` is set; the other `OTEL_…`
//! variables have their standard meaning. Spans are `tracing` spans with the target [`TARGET`]. An envelope carries the
//! contexts of its commands' requests as `traceparent` headers (W3C Trace Context), and the batch that applies the envelope
//! links to each of them. A span has a name, ids and counts. It must not contain texts from a client.

/// The target of all spans.
pub const TARGET: &str = "holdfast_common::traces";

/// Trace contexts of requests: those that an envelope carries, or that a batch links to.
#[derive(Debug, Default)]
pub struct TraceLinks {
    #[cfg(feature = "otel")]
    contexts: Vec<String>,
}

#[cfg(not(feature = "otel"))]
impl TraceLinks {
    /// Does nothing: built without traces.
    pub fn add_current(&mut self) {}

    /// Does nothing: built without traces.
    pub fn read(&mut self, _headers: Option<&async_nats::HeaderMap>) {}

    /// Returns no headers: built without traces.
    #[must_use]
    pub fn headers(&self) -> async_nats::HeaderMap {
        async_nats::HeaderMap::new()
    }

    /// Does nothing: built without traces.
    pub fn link(&self, _span: &tracing::Span) {}
}

/// Does nothing: built without traces.
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

    use super::{TARGET, TraceLinks};

    /// The variable that turns traces on.
    const ENDPOINT: &str = "OTEL_EXPORTER_OTLP_ENDPOINT";
    const TRACEPARENT: &str = "traceparent";
    /// The most contexts that an envelope carries: those of its first commands. The others have no link.
    const ENVELOPE_LINKS_MAX: usize = 16;
    /// The most links of a batch: the default limit of OpenTelemetry for one span.
    const BATCH_LINKS_MAX: usize = 128;

    static PROVIDER: OnceLock<SdkTracerProvider> = OnceLock::new();

    /// The layer that exports `tracing` spans to OpenTelemetry; `None` when no endpoint is set.
    pub(crate) fn layer<S>(program: &'static str) -> Option<Box<dyn Layer<S> + Send + Sync>>
    where
        S: Subscriber + for<'a> LookupSpan<'a> + Send + Sync,
    {
        std::env::var_os(ENDPOINT).filter(|endpoint| !endpoint.is_empty())?;
        // The HTTP client of the exporter needs a default provider. It fails when one is installed, which is as good.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let exporter = match SpanExporter::builder().with_http().build() {
            Ok(exporter) => exporter,
            Err(error) => {
                eprintln!("traces are off: {error}. Correct {ENDPOINT}");
                return None;
            }
        };
        let provider = PROVIDER.get_or_init(|| {
            let resource = Resource::builder();
            // The name of the program is the default of OTEL_SERVICE_NAME.
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

    /// Sends the spans that were not sent yet.
    pub(crate) fn stop() {
        if let Some(Err(error)) = PROVIDER.get().map(SdkTracerProvider::shutdown) {
            eprintln!("the last traces could not be sent: {error}");
        }
    }

    fn is_on() -> bool {
        PROVIDER.get().is_some()
    }

    /// Makes a span a child of the span in the client's `traceparent` header.
    pub fn adopt(span: &Span, traceparent: Option<&str>) {
        if let Some(traceparent) = traceparent.filter(|_| is_on()) {
            let carrier = HashMap::from([(TRACEPARENT.to_owned(), traceparent.to_owned())]);
            // Fails only for a span that is not recorded.
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

    impl TraceLinks {
        /// Adds the context of the current request, if it is recorded and the limit is not reached.
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

        /// Adds the contexts in the headers of an envelope.
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

        /// The headers for an envelope.
        #[must_use]
        pub fn headers(&self) -> async_nats::HeaderMap {
            let mut headers = async_nats::HeaderMap::new();
            self.contexts
                .iter()
                .for_each(|context| headers.append(TRACEPARENT, context.as_str()));
            headers
        }

        /// TraceLinks a span to each context.
        pub fn link(&self, span: &Span) {
            self.contexts
                .iter()
                .map(|context| parse(context))
                .for_each(|context| span.add_link(context));
        }
    }
}
