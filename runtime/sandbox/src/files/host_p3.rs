//! `wasi:filesystem/types@0.3`: what can grow is counted as in 0.2, everything else is wasmtime's.

use super::calls::{Calls, error_code};
use super::output::CountedOutput;
use super::{CountedFiles, CountedView, Listings};
use crate::host::Host;
use bytes::Bytes;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tokio::sync::oneshot;
use wasmtime::component::{
    Access, Accessor, Destination, FutureReader, Resource, ResourceTable, Source, StreamConsumer,
    StreamProducer, StreamReader, StreamResult,
};
use wasmtime::{AsContextMut, StoreContextMut};
use wasmtime_wasi::filesystem::{
    Descriptor, WasiFilesystem, WasiFilesystemCtx, WasiFilesystemCtxView, WasiFilesystemView,
};
use wasmtime_wasi::p2::bindings::filesystem::types as p2;
use wasmtime_wasi::p2::{FsResult, OutputStream, StreamError};
use wasmtime_wasi::p3::bindings::filesystem::types::{
    self, Advice, DescriptorFlags, DescriptorStat, DescriptorType, DirectoryEntry, ErrorCode,
    Filesize, HostDescriptorWithStore, MetadataHashValue, NewTimestamp, OpenFlags, PathFlags,
};
use wasmtime_wasi::p3::filesystem::{FilesystemError, FilesystemResult};

/// Bytes that are written to a file at once.
const WRITE_BYTES_MAX: usize = 64 * 1024;

type Guest = Accessor<Host, CountedFiles>;

/// Runs one of the counted calls, which are written for 0.2, on copies of a guest's descriptors: the guest's own
/// table cannot be held while a call waits.
macro_rules! counted {
    ($store:ident, $descriptor:expr, |$calls:ident, $first:ident| $call:expr) => {{
        let (account, tree, copy) = $store
            .with(|mut store| {
                let view = store.get();
                let copy = view.files.table.get(&$descriptor)?.clone();
                wasmtime::error::Ok((view.account, view.tree, copy))
            })
            .map_err(FilesystemError::trap)?;
        let mut table = ResourceTable::new();
        let $first = table.push(copy)?;
        let mut context = WasiFilesystemCtx::default();
        let mut files = WasiFilesystemCtxView {
            ctx: &mut context,
            table: &mut table,
        };
        let mut $calls = Calls {
            files: &mut files,
            account: &account,
            tree: tree.as_ref(),
        };
        let result: FsResult<_> = $call;
        result.map_err(translated)
    }};
}

/// A call that names a second directory.
fn second(store: &Guest, descriptor: &Resource<Descriptor>) -> FilesystemResult<Descriptor> {
    store
        .with(|mut store| wasmtime::error::Ok(store.get().files.table.get(descriptor)?.clone()))
        .map_err(FilesystemError::trap)
}

/// What a call is going to do.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Intent {
    Look,
    Change,
}

/// Turns a guest's handle of the tree that its dyno shares into one of the dyno's copy: if there is one, and before a
/// change in any case.
async fn redirect(
    store: &Guest,
    descriptor: &Resource<Descriptor>,
    intent: Intent,
) -> FilesystemResult<()> {
    let found = store.with(|mut store| {
        let view = store.get();
        let copy = view.files.table.get(descriptor)?.clone();
        wasmtime::error::Ok(view.tree.map(|tree| (tree, copy)))
    });
    let Some((tree, mut handle)) = found.map_err(FilesystemError::trap)? else {
        return Ok(());
    };
    if intent == Intent::Change {
        tree.own(&handle).await.map_err(FilesystemError::from)?;
    }
    if !tree.is_private() {
        return Ok(());
    }
    tree.redirect(&mut handle).map_err(FilesystemError::from)?;
    store
        .with(|mut store| {
            *store.get().files.table.get_mut(descriptor)? = handle;
            wasmtime::error::Ok(())
        })
        .map_err(FilesystemError::trap)
}

impl types::Host for CountedView<'_> {
    fn convert_error_code(&mut self, error: FilesystemError) -> wasmtime::Result<ErrorCode> {
        error.downcast()
    }
}

impl types::HostDescriptor for CountedView<'_> {
    fn drop(&mut self, descriptor: Resource<Descriptor>) -> wasmtime::Result<()> {
        types::HostDescriptor::drop(&mut self.files, descriptor)
    }
}

/// Calls that change nothing, or nothing that is counted.
macro_rules! wasmtimes {
    ($($name:ident($($argument:ident: $type:ty),*) -> $result:ty;)*) => {
        $(async fn $name(store: &Guest, descriptor: Resource<Descriptor>, $($argument: $type),*) -> $result {
            redirect(store, &descriptor, Intent::Look).await?;
            let store = store.with_getter::<WasiFilesystem>(Host::filesystem);
            <WasiFilesystem as HostDescriptorWithStore<Host>>::$name(&store, descriptor, $($argument),*).await
        })*
    };
}

impl HostDescriptorWithStore<Host> for CountedFiles {
    wasmtimes! {
        advise(offset: Filesize, length: Filesize, advice: Advice) -> FilesystemResult<()>;
        get_flags() -> FilesystemResult<DescriptorFlags>;
        get_type() -> FilesystemResult<DescriptorType>;
        metadata_hash() -> FilesystemResult<MetadataHashValue>;
        metadata_hash_at(path_flags: PathFlags, path: String) -> FilesystemResult<MetadataHashValue>;
        readlink_at(path: String) -> FilesystemResult<String>;
        stat() -> FilesystemResult<DescriptorStat>;
        stat_at(path_flags: PathFlags, path: String) -> FilesystemResult<DescriptorStat>;
        sync() -> FilesystemResult<()>;
        sync_data() -> FilesystemResult<()>;
    }

    async fn is_same_object(
        store: &Guest,
        descriptor: Resource<Descriptor>,
        other: Resource<Descriptor>,
    ) -> wasmtime::Result<bool> {
        let store = store.with_getter::<WasiFilesystem>(Host::filesystem);
        <WasiFilesystem as HostDescriptorWithStore<Host>>::is_same_object(&store, descriptor, other)
            .await
    }

    async fn set_times(
        store: &Guest,
        descriptor: Resource<Descriptor>,
        accessed: NewTimestamp,
        modified: NewTimestamp,
    ) -> FilesystemResult<()> {
        redirect(store, &descriptor, Intent::Change).await?;
        let store = store.with_getter::<WasiFilesystem>(Host::filesystem);
        <WasiFilesystem as HostDescriptorWithStore<Host>>::set_times(
            &store, descriptor, accessed, modified,
        )
        .await
    }

    async fn set_times_at(
        store: &Guest,
        descriptor: Resource<Descriptor>,
        path_flags: PathFlags,
        path: String,
        accessed: NewTimestamp,
        modified: NewTimestamp,
    ) -> FilesystemResult<()> {
        redirect(store, &descriptor, Intent::Change).await?;
        let store = store.with_getter::<WasiFilesystem>(Host::filesystem);
        <WasiFilesystem as HostDescriptorWithStore<Host>>::set_times_at(
            &store, descriptor, path_flags, path, accessed, modified,
        )
        .await
    }

    fn read_via_stream(
        mut store: Access<Host, Self>,
        descriptor: Resource<Descriptor>,
        offset: Filesize,
    ) -> wasmtime::Result<(StreamReader<u8>, FutureReader<Result<(), ErrorCode>>)> {
        let store = Access::<_, WasiFilesystem>::new(store.as_context_mut(), Host::filesystem);
        <WasiFilesystem as HostDescriptorWithStore<Host>>::read_via_stream(
            store, descriptor, offset,
        )
    }

    fn read_directory(
        mut store: Access<Host, Self>,
        descriptor: Resource<Descriptor>,
    ) -> wasmtime::Result<(
        StreamReader<DirectoryEntry>,
        FutureReader<Result<(), ErrorCode>>,
    )> {
        let (told, result) = oneshot::channel();
        let view = store.get();
        let mut directory = view.files.table.get(&descriptor)?.clone();
        let redirected = view
            .tree
            .as_ref()
            .map_or(Ok(()), |tree| tree.redirect(&mut directory));
        let listing = view
            .listings
            .begin()
            .then(|| Listing(view.listings.clone()));
        let names: Names = Box::pin(async move {
            redirected?;
            let listing = listing.ok_or(p2::ErrorCode::InsufficientMemory)?;
            Ok((names(directory).await?, listing))
        });
        let producer = DirectoryProducer {
            names: Some(names),
            left: None,
            told: Some(told),
        };
        Ok((
            StreamReader::new(&mut store, producer)?,
            FutureReader::new(&mut store, result)?,
        ))
    }

    fn write_via_stream(
        store: Access<Host, Self>,
        descriptor: Resource<Descriptor>,
        data: StreamReader<u8>,
        offset: Filesize,
    ) -> wasmtime::Result<FutureReader<Result<(), ErrorCode>>> {
        write(store, descriptor, data, Some(offset))
    }

    fn append_via_stream(
        store: Access<Host, Self>,
        descriptor: Resource<Descriptor>,
        data: StreamReader<u8>,
    ) -> wasmtime::Result<FutureReader<Result<(), ErrorCode>>> {
        write(store, descriptor, data, None)
    }

    async fn set_size(
        store: &Guest,
        descriptor: Resource<Descriptor>,
        size: Filesize,
    ) -> FilesystemResult<()> {
        counted!(store, descriptor, |calls, file| calls
            .set_size(file, size)
            .await)
    }

    async fn create_directory_at(
        store: &Guest,
        descriptor: Resource<Descriptor>,
        path: String,
    ) -> FilesystemResult<()> {
        counted!(store, descriptor, |calls, directory| {
            calls.create_directory_at(directory, path).await
        })
    }

    async fn link_at(
        store: &Guest,
        descriptor: Resource<Descriptor>,
        path_flags: PathFlags,
        path: String,
        new_descriptor: Resource<Descriptor>,
        new_path: String,
    ) -> FilesystemResult<()> {
        let second = second(store, &new_descriptor)?;
        counted!(store, descriptor, |calls, directory| {
            let second = calls.files.table.push(second)?;
            calls
                .link_at(directory, following(path_flags), path, second, new_path)
                .await
        })
    }

    async fn open_at(
        store: &Guest,
        descriptor: Resource<Descriptor>,
        path_flags: PathFlags,
        path: String,
        open_flags: OpenFlags,
        flags: DescriptorFlags,
    ) -> FilesystemResult<Resource<Descriptor>> {
        let (open_flags, flags) = (opening(open_flags), describing(flags));
        let opened: FilesystemResult<Descriptor> =
            counted!(store, descriptor, |calls, directory| {
                match calls
                    .open_at(directory, following(path_flags), path, open_flags, flags)
                    .await
                {
                    Ok(opened) => Ok(calls.files.table.delete(opened)?),
                    Err(error) => Err(error),
                }
            });
        let opened = opened?;
        Ok(store.with(|mut store| store.get().files.table.push(opened))?)
    }

    async fn remove_directory_at(
        store: &Guest,
        descriptor: Resource<Descriptor>,
        path: String,
    ) -> FilesystemResult<()> {
        counted!(store, descriptor, |calls, directory| {
            calls.remove_directory_at(directory, path).await
        })
    }

    async fn rename_at(
        store: &Guest,
        descriptor: Resource<Descriptor>,
        path: String,
        new_descriptor: Resource<Descriptor>,
        new_path: String,
    ) -> FilesystemResult<()> {
        let second = second(store, &new_descriptor)?;
        counted!(store, descriptor, |calls, directory| {
            let second = calls.files.table.push(second)?;
            calls.rename_at(directory, path, second, new_path).await
        })
    }

    async fn symlink_at(
        store: &Guest,
        descriptor: Resource<Descriptor>,
        target: String,
        path: String,
    ) -> FilesystemResult<()> {
        counted!(store, descriptor, |calls, directory| {
            calls.symlink_at(directory, target, path).await
        })
    }

    async fn unlink_file_at(
        store: &Guest,
        descriptor: Resource<Descriptor>,
        path: String,
    ) -> FilesystemResult<()> {
        counted!(store, descriptor, |calls, directory| {
            calls.unlink_file_at(directory, path).await
        })
    }
}

fn write(
    mut store: Access<Host, CountedFiles>,
    descriptor: Resource<Descriptor>,
    mut data: StreamReader<u8>,
    offset: Option<Filesize>,
) -> wasmtime::Result<FutureReader<Result<(), ErrorCode>>> {
    let (told, result) = oneshot::channel();
    let mut view = store.get();
    let output = Calls {
        files: &mut view.files,
        account: &view.account,
        tree: view.tree.as_ref(),
    }
    .output(Resource::new_borrow(descriptor.rep()), offset);
    match output {
        Ok(output) => data.pipe(
            &mut store,
            Consumer {
                output: Some(output),
                writing: None,
                told: Some(told),
            },
        )?,
        Err(error) => {
            data.close(&mut store)?;
            let code = error_code(error).map_or(ErrorCode::Io, translated_code);
            // Whoever asked may have gone.
            let _gone = told.send(Err(code));
        }
    }
    FutureReader::new(&mut store, result)
}

type Entries = std::vec::IntoIter<p2::DirectoryEntry>;
type Names = Pin<Box<dyn Future<Output = FsResult<(Entries, Listing)>> + Send>>;

/// The names in a directory, all at once. wasmtime's own stream keeps a thread of the host waiting for as long as the
/// guest does not read on.
async fn names(directory: Descriptor) -> FsResult<Entries> {
    let mut table = ResourceTable::new();
    let directory = table.push(directory)?;
    let mut context = WasiFilesystemCtx::default();
    let mut files = WasiFilesystemCtxView {
        ctx: &mut context,
        table: &mut table,
    };
    let stream = p2::HostDescriptor::read_directory(&mut files, directory).await?;
    let entries: Vec<_> = table.delete(stream)?.into_iter().collect::<FsResult<_>>()?;
    Ok(entries.into_iter())
}

/// Counts a listing for as long as its names are held.
struct Listing(Listings);

impl Drop for Listing {
    fn drop(&mut self) {
        self.0.end();
    }
}

struct DirectoryProducer {
    names: Option<Names>,
    left: Option<(Entries, Listing)>,
    told: Option<oneshot::Sender<Result<(), ErrorCode>>>,
}

impl DirectoryProducer {
    fn end(&mut self, result: Result<(), ErrorCode>) {
        if let Some(told) = self.told.take() {
            // Whoever asked may have gone.
            let _gone = told.send(result);
        }
    }
}

impl StreamProducer<Host> for DirectoryProducer {
    type Item = DirectoryEntry;
    type Buffer = Option<DirectoryEntry>;

    fn poll_produce<'a>(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        mut store: StoreContextMut<'a, Host>,
        mut destination: Destination<'a, Self::Item, Self::Buffer>,
        finish: bool,
    ) -> Poll<wasmtime::Result<StreamResult>> {
        if let Some(names) = &mut self.names {
            let names = match names.as_mut().poll(context) {
                Poll::Ready(names) => names,
                Poll::Pending if finish => return Poll::Ready(Ok(StreamResult::Cancelled)),
                Poll::Pending => return Poll::Pending,
            };
            self.names = None;
            match names {
                Ok(names) => self.left = Some(names),
                Err(error) => {
                    let code = error_code(error).map_or(ErrorCode::Io, translated_code);
                    self.end(Err(code));
                    return Poll::Ready(Ok(StreamResult::Dropped));
                }
            }
        }
        if destination.remaining(&mut store) == Some(0) {
            return Poll::Ready(Ok(StreamResult::Completed));
        }
        let next = self.left.as_mut().and_then(|(entries, _)| entries.next());
        Poll::Ready(Ok(match next {
            Some(entry) => {
                destination.set_buffer(Some(DirectoryEntry {
                    type_: translated_type(entry.type_),
                    name: entry.name,
                }));
                StreamResult::Completed
            }
            None => {
                self.end(Ok(()));
                StreamResult::Dropped
            }
        }))
    }
}

impl Drop for DirectoryProducer {
    fn drop(&mut self) {
        self.end(Ok(()));
    }
}

type Writing =
    Pin<Box<dyn Future<Output = (CountedOutput, usize, Result<(), StreamError>)> + Send>>;

/// Writes what a guest streams, a piece at a time.
struct Consumer {
    output: Option<CountedOutput>,
    writing: Option<Writing>,
    told: Option<oneshot::Sender<Result<(), ErrorCode>>>,
}

impl StreamConsumer<Host> for Consumer {
    type Item = u8;

    fn poll_consume(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        store: StoreContextMut<Host>,
        source: Source<u8>,
        finish: bool,
    ) -> Poll<wasmtime::Result<StreamResult>> {
        let mut source = source.as_direct(store);
        if self.writing.is_none() {
            let Some(mut output) = self.output.take() else {
                return Poll::Ready(Ok(StreamResult::Dropped));
            };
            let piece = source.remaining();
            let piece = &piece[..piece.len().min(WRITE_BYTES_MAX)];
            if piece.is_empty() {
                self.output = Some(output);
                let result = if finish {
                    StreamResult::Cancelled
                } else {
                    StreamResult::Completed
                };
                return Poll::Ready(Ok(result));
            }
            let piece = Bytes::copy_from_slice(piece);
            self.writing = Some(Box::pin(async move {
                let length = piece.len();
                let result = output.blocking_write_and_flush(piece).await;
                (output, length, result)
            }));
        }
        // A write is short and cannot be taken back: it is waited for even when the guest gives up.
        let Some(writing) = &mut self.writing else {
            return Poll::Pending;
        };
        let (output, length, result) = ready!(writing.as_mut().poll(context));
        self.writing = None;
        Poll::Ready(Ok(match result {
            Ok(()) => {
                source.mark_read(length);
                self.output = Some(output);
                StreamResult::Completed
            }
            Err(error) => {
                if let Some(told) = self.told.take() {
                    let _gone = told.send(Err(code_of(&error)));
                }
                StreamResult::Dropped
            }
        }))
    }
}

impl Drop for Consumer {
    fn drop(&mut self) {
        if let Some(told) = self.told.take() {
            let _gone = told.send(Ok(()));
        }
    }
}

fn code_of(error: &StreamError) -> ErrorCode {
    match error {
        StreamError::LastOperationFailed(error) => error
            .downcast_ref::<std::io::Error>()
            .map_or(ErrorCode::Io, ErrorCode::from),
        _ => ErrorCode::Io,
    }
}

/// The flags of 0.2 are those of 0.3.
macro_rules! same_flags {
    ($name:ident, $type:ident: $($flag:ident)*) => {
        fn $name(flags: $type) -> p2::$type {
            let mut same = p2::$type::empty();
            $(if flags.contains($type::$flag) {
                same |= p2::$type::$flag;
            })*
            same
        }
    };
}

same_flags!(following, PathFlags: SYMLINK_FOLLOW);
same_flags!(opening, OpenFlags: CREATE DIRECTORY EXCLUSIVE TRUNCATE);
same_flags!(describing, DescriptorFlags: READ WRITE FILE_INTEGRITY_SYNC DATA_INTEGRITY_SYNC REQUESTED_WRITE_SYNC MUTATE_DIRECTORY);

fn translated(error: wasmtime_wasi::p2::FsError) -> FilesystemError {
    match error_code(error) {
        Ok(code) => translated_code(code).into(),
        Err(error) => FilesystemError::trap(error),
    }
}

fn translated_type(kind: p2::DescriptorType) -> DescriptorType {
    match kind {
        p2::DescriptorType::Unknown => DescriptorType::Other(None),
        p2::DescriptorType::BlockDevice => DescriptorType::BlockDevice,
        p2::DescriptorType::CharacterDevice => DescriptorType::CharacterDevice,
        p2::DescriptorType::Directory => DescriptorType::Directory,
        p2::DescriptorType::Fifo => DescriptorType::Fifo,
        p2::DescriptorType::SymbolicLink => DescriptorType::SymbolicLink,
        p2::DescriptorType::RegularFile => DescriptorType::RegularFile,
        p2::DescriptorType::Socket => DescriptorType::Socket,
    }
}

/// The words of 0.2 are those of 0.3; it has one that 0.3 left out.
fn translated_code(code: p2::ErrorCode) -> ErrorCode {
    macro_rules! same {
        ($($word:ident)*) => {
            match code {
                $(p2::ErrorCode::$word => ErrorCode::$word,)*
                p2::ErrorCode::WouldBlock => ErrorCode::Other(None),
            }
        };
    }
    same! {
        Access Already BadDescriptor Busy Deadlock Quota Exist FileTooLarge IllegalByteSequence InProgress
        Interrupted Invalid Io IsDirectory Loop TooManyLinks MessageSize NameTooLong NoDevice NoEntry NoLock
        InsufficientMemory InsufficientSpace NotDirectory NotEmpty NotRecoverable Unsupported NoTty NoSuchDevice
        Overflow NotPermitted Pipe ReadOnly InvalidSeek TextFileBusy CrossDevice
    }
}
