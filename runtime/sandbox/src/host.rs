//! What a store carries on the host's side: WASI contexts, limits, the way out.

use crate::context::{Context, LeasedContext};
use crate::files::{FileShare, Listings};
use crate::instance::{InstanceSpec, Mount, MountedTree};
use crate::limits;
use crate::memory::MemoryShare;
use crate::outbound::Outbound;
use crate::stdio::{LineStream, Stdio};
use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use wasmtime::component::ResourceTable;
use wasmtime_wasi::sockets::SocketAddrUse;
use wasmtime_wasi::{FsPerms, WasiCtxBuilder, WasiCtxView, WasiView};
use wasmtime_wasi_http::{
    DEFAULT_FORBIDDEN_HEADERS, Error, ForbiddenHeaderFilter, RequestOptions, WasiBody, WasiHttpCtx,
    WasiHttpCtxView, WasiHttpHooks, WasiHttpView,
};

/// Any error of a body that comes from outside.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// What the host keeps for one instance; host functions of an embedder's own get at it by `store.data()`.
pub struct Host {
    pub(crate) spec: Arc<InstanceSpec>,
    pub(crate) table: ResourceTable,
    context: LeasedContext,
    http: WasiHttpCtx,
    hooks: Hooks,
    pub(crate) memory: MemoryShare,
    pub(crate) listings: Listings,
    /// The last to go: it looks at what the table held.
    pub(crate) files: FileShare,
}

impl Host {
    pub(crate) fn new(spec: &Arc<InstanceSpec>) -> wasmtime::Result<Self> {
        let mut table = ResourceTable::new();
        table.set_max_capacity(limits::RESOURCES_MAX);
        let mut http = WasiHttpCtx::new();
        http.set_field_size_limit(limits::FIELD_BYTES_MAX);
        Ok(Self {
            spec: spec.clone(),
            table,
            context: LeasedContext::take(&spec.contexts, || context(spec))?,
            http,
            hooks: Hooks {
                outbound: spec.outbound.clone(),
                forbidden: forbidden_headers(),
            },
            memory: MemoryShare::new(spec.memory.clone()),
            listings: Listings::default(),
            files: FileShare::new(spec.files.clone()),
        })
    }
}

impl Host {
    /// The name of the app that calls. The host's word, not the guest's.
    pub fn app(&self) -> &str {
        &self.spec.app
    }

    /// The whole environment of the guest, config vars included.
    pub fn environment(&self) -> &[(String, String)] {
        &self.spec.environment
    }

    /// Where resources that a guest holds handles to are kept; [`crate::limits::RESOURCES_MAX`] at most.
    pub fn table(&mut self) -> &mut ResourceTable {
        &mut self.table
    }
}

impl fmt::Debug for Host {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Host")
            .field("app", &self.spec.app)
            .finish_non_exhaustive()
    }
}

fn context(spec: &InstanceSpec) -> wasmtime::Result<Context> {
    let (mut builder, output) = wasi_context(spec)?;
    Ok(Context {
        wasi: builder.build(),
        output,
    })
}

/// What the guest sees of the world, and the streams it writes its lines to.
pub(crate) fn wasi_context(
    spec: &InstanceSpec,
) -> wasmtime::Result<(WasiCtxBuilder, Vec<LineStream>)> {
    let mut builder = WasiCtxBuilder::new();
    let mut output = Vec::new();
    match &spec.stdio {
        Stdio::Inherit => {
            builder.inherit_stdio();
        }
        Stdio::Attached(streams) => {
            builder.stdin(streams.stdin());
            builder.stdout(streams.stdout()).stderr(streams.stdout());
        }
        Stdio::Lines(sink) => {
            let streams = [(); 2].map(|()| LineStream::new(sink.clone()));
            output.extend(streams.clone());
            let [stdout, stderr] = streams;
            builder.stdout(stdout).stderr(stderr);
        }
    }
    for (name, value) in &spec.environment {
        builder.env(name, value);
    }
    builder.args(&spec.arguments);
    if let Some(first) = spec.mounts.first() {
        builder.initial_cwd(&first.guest);
    }
    for Mount { host, guest } in &spec.mounts {
        let (path, permissions) = match host {
            MountedTree::ReadOnly(path) => (path.as_path(), FsPerms::ReadOnly),
            MountedTree::Writable(path) => (path.as_path(), FsPerms::ReadWrite),
            // No call that would change it reaches it.
            MountedTree::Shared(tree) => (tree.path(), FsPerms::ReadWrite),
        };
        builder.preopened_dir(path, guest, permissions)?;
    }
    builder.max_random_size(limits::RANDOM_BYTES_MAX);
    permit_network(&mut builder, &spec.outbound);
    Ok((builder, output))
}

/// Lets sockets through the app's policy, address by address.
fn permit_network(builder: &mut WasiCtxBuilder, outbound: &Outbound) {
    let policy = outbound.policy();
    builder.allow_ip_name_lookup(!policy.is_closed());
    builder.allow_tcp(!policy.is_closed());
    builder.allow_udp(policy.is_host());
    if policy.is_host() {
        builder.inherit_network();
        return;
    }
    let outbound = outbound.clone();
    builder.socket_addr_check(move |address: SocketAddr, usage| {
        let outbound = outbound.clone();
        Box::pin(async move {
            match usage {
                SocketAddrUse::TcpConnect => outbound.permits(address).await,
                // The bind that the system makes before a connection; a guest that wants to be reached goes
                // through the router, so listening stays refused.
                SocketAddrUse::TcpBind => address.ip().is_unspecified() && address.port() == 0,
                _ => false,
            }
        })
    });
}

impl WasiView for Host {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView {
            ctx: self.context.wasi(),
            table: &mut self.table,
        }
    }
}

impl WasiHttpView for Host {
    fn http(&mut self) -> WasiHttpCtxView<'_> {
        WasiHttpCtxView {
            ctx: &mut self.http,
            table: &mut self.table,
            hooks: &mut self.hooks,
        }
    }
}

pub(crate) struct Hooks {
    outbound: Outbound,
    forbidden: ForbiddenHeaderFilter,
}

/// One filter for all stores: the default makes a new allocation at every call.
fn forbidden_headers() -> ForbiddenHeaderFilter {
    static FILTER: std::sync::OnceLock<ForbiddenHeaderFilter> = std::sync::OnceLock::new();
    FILTER
        .get_or_init(|| Arc::new(|name| DEFAULT_FORBIDDEN_HEADERS.contains(name)))
        .clone()
}

type SendFuture = Box<
    dyn Future<
            Output = Result<
                (
                    http::Response<WasiBody>,
                    Box<dyn Future<Output = Result<(), Error>> + Send>,
                ),
                Error,
            >,
        > + Send,
>;

impl WasiHttpHooks for Hooks {
    fn is_forbidden_header(&mut self, name: &http::HeaderName) -> bool {
        (self.forbidden)(name)
    }

    fn forbidden_header_filter(&mut self) -> ForbiddenHeaderFilter {
        self.forbidden.clone()
    }

    fn p2_outgoing_body_buffer_chunks(&mut self) -> usize {
        limits::RESPONSE_CHUNKS_BUFFERED
    }

    fn send_request(
        &mut self,
        request: http::Request<WasiBody>,
        options: Option<RequestOptions>,
        _processed: Box<dyn Future<Output = Result<(), Error>> + Send>,
    ) -> SendFuture {
        let outbound = self.outbound.clone();
        Box::new(async move {
            let response = outbound.send(request, options).await?;
            Ok((
                response,
                Box::new(std::future::ready(Ok(()))) as Box<dyn Future<Output = _> + Send>,
            ))
        })
    }
}
