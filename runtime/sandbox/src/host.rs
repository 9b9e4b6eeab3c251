//! What a store carries on the host's side: WASI contexts, limits, the way out.

use crate::files::{FileShare, Listings};
use crate::instance::{InstanceSpec, Mount};
use crate::limits;
use crate::memory::MemoryShare;
use crate::outbound::Outbound;
use crate::stdio::{LineStream, Stdio};
use std::net::SocketAddr;
use std::sync::Arc;
use wasmtime::component::ResourceTable;
use wasmtime_wasi::sockets::SocketAddrUse;
use wasmtime_wasi::{FsPerms, WasiCtx, WasiCtxBuilder, WasiCtxView, WasiView};
use wasmtime_wasi_http::{
    DEFAULT_FORBIDDEN_HEADERS, Error, ForbiddenHeaderFilter, RequestOptions, WasiBody, WasiHttpCtx,
    WasiHttpCtxView, WasiHttpHooks, WasiHttpView,
};

/// Any error of a body that comes from outside.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// The data of one store.
pub(crate) struct Host {
    table: ResourceTable,
    wasi: WasiCtx,
    http: WasiHttpCtx,
    hooks: Hooks,
    pub(crate) memory: MemoryShare,
    pub(crate) listings: Listings,
    /// The last to go: it looks at what the table held.
    pub(crate) files: FileShare,
}

impl Host {
    pub(crate) fn new(spec: &InstanceSpec) -> wasmtime::Result<Self> {
        let mut table = ResourceTable::new();
        table.set_max_capacity(limits::RESOURCES_MAX);
        let mut http = WasiHttpCtx::new();
        http.set_field_size_limit(limits::FIELD_BYTES_MAX);
        Ok(Self {
            table,
            wasi: wasi_context(spec)?,
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

fn wasi_context(spec: &InstanceSpec) -> wasmtime::Result<WasiCtx> {
    let mut builder = WasiCtxBuilder::new();
    match &spec.stdio {
        Stdio::Inherit => {
            builder.inherit_stdio();
        }
        Stdio::Lines(sink) => {
            builder
                .stdout(LineStream::new(sink.clone()))
                .stderr(LineStream::new(sink.clone()));
        }
    }
    for (name, value) in &spec.environment {
        builder.env(name, value);
    }
    builder.args(&spec.arguments);
    if let Some(first) = spec.mounts.first() {
        builder.initial_cwd(&first.guest);
    }
    for Mount {
        host,
        guest,
        writable,
    } in &spec.mounts
    {
        let permissions = if *writable {
            FsPerms::ReadWrite
        } else {
            FsPerms::ReadOnly
        };
        builder.preopened_dir(host, guest, permissions)?;
    }
    builder.max_random_size(limits::RANDOM_BYTES_MAX);
    builder.allow_ip_name_lookup(!spec.outbound.policy().closed);
    builder.allow_tcp(!spec.outbound.policy().closed);
    builder.allow_udp(false);
    let policy = spec.outbound.policy().clone();
    builder.socket_addr_check(move |address: SocketAddr, usage| {
        let permitted = match usage {
            SocketAddrUse::TcpConnect => policy.permits(address),
            // The bind that the system makes before a connection; a guest that wants to be reached goes
            // through the router, so listening stays refused.
            SocketAddrUse::TcpBind => address.ip().is_unspecified() && address.port() == 0,
            _ => false,
        };
        Box::pin(std::future::ready(permitted))
    });
    Ok(builder.build())
}

impl WasiView for Host {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView {
            ctx: &mut self.wasi,
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
    outbound: Arc<Outbound>,
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
