//! `wasi:filesystem/types@0.2`: what can grow is counted, everything else is wasmtime's.

use super::CountedView;
use super::calls::Calls;
use wasmtime::component::Resource;
use wasmtime_wasi::p2::bindings::filesystem::types::{
    self, Advice, Descriptor, DescriptorFlags, DescriptorStat, DescriptorType, DirectoryEntry,
    DirectoryEntryStream, ErrorCode, Filesize, HostDescriptor, HostDirectoryEntryStream,
    MetadataHashValue, NewTimestamp, OpenFlags, PathFlags,
};
use wasmtime_wasi::p2::{DynInputStream, DynOutputStream, FsError, FsResult};

impl<'v> CountedView<'v> {
    fn calls(&mut self) -> Calls<'_, 'v> {
        Calls {
            files: &mut self.files,
            account: &self.account,
            tree: self.tree.as_ref(),
        }
    }
}

impl types::Host for CountedView<'_> {
    fn convert_error_code(&mut self, error: FsError) -> wasmtime::Result<ErrorCode> {
        self.files.convert_error_code(error)
    }

    fn filesystem_error_code(
        &mut self,
        error: Resource<wasmtime::Error>,
    ) -> wasmtime::Result<Option<ErrorCode>> {
        self.files.filesystem_error_code(error)
    }
}

/// Calls that change nothing, or nothing that is counted.
macro_rules! wasmtimes {
    ($($name:ident($($argument:ident: $type:ty),*) -> $result:ty;)*) => {
        $(async fn $name(&mut self, descriptor: Resource<Descriptor>, $($argument: $type),*) -> $result {
            self.calls().redirect(&descriptor)?;
            self.files.$name(descriptor, $($argument),*).await
        })*
    };
}

impl HostDescriptor for CountedView<'_> {
    wasmtimes! {
        advise(offset: Filesize, length: Filesize, advice: Advice) -> FsResult<()>;
        get_flags() -> FsResult<DescriptorFlags>;
        get_type() -> FsResult<DescriptorType>;
        metadata_hash() -> FsResult<MetadataHashValue>;
        metadata_hash_at(path_flags: PathFlags, path: String) -> FsResult<MetadataHashValue>;
        read(length: Filesize, offset: Filesize) -> FsResult<(Vec<u8>, bool)>;
        readlink_at(path: String) -> FsResult<String>;
        stat() -> FsResult<DescriptorStat>;
        stat_at(path_flags: PathFlags, path: String) -> FsResult<DescriptorStat>;
        sync() -> FsResult<()>;
        sync_data() -> FsResult<()>;
    }

    async fn is_same_object(
        &mut self,
        descriptor: Resource<Descriptor>,
        other: Resource<Descriptor>,
    ) -> wasmtime::Result<bool> {
        self.files.is_same_object(descriptor, other).await
    }

    async fn set_times(
        &mut self,
        descriptor: Resource<Descriptor>,
        accessed: NewTimestamp,
        modified: NewTimestamp,
    ) -> FsResult<()> {
        self.calls().own(&descriptor).await?;
        self.files.set_times(descriptor, accessed, modified).await
    }

    async fn set_times_at(
        &mut self,
        descriptor: Resource<Descriptor>,
        path_flags: PathFlags,
        path: String,
        accessed: NewTimestamp,
        modified: NewTimestamp,
    ) -> FsResult<()> {
        self.calls().own(&descriptor).await?;
        self.files
            .set_times_at(descriptor, path_flags, path, accessed, modified)
            .await
    }

    async fn read_directory(
        &mut self,
        descriptor: Resource<Descriptor>,
    ) -> FsResult<Resource<DirectoryEntryStream>> {
        self.calls().redirect(&descriptor)?;
        if !self.listings.begin() {
            return Err(ErrorCode::InsufficientMemory.into());
        }
        let stream = self.files.read_directory(descriptor).await;
        if stream.is_err() {
            self.listings.end();
        }
        stream
    }

    fn read_via_stream(
        &mut self,
        descriptor: Resource<Descriptor>,
        offset: Filesize,
    ) -> FsResult<Resource<DynInputStream>> {
        self.files.read_via_stream(descriptor, offset)
    }

    fn write_via_stream(
        &mut self,
        descriptor: Resource<Descriptor>,
        offset: Filesize,
    ) -> FsResult<Resource<DynOutputStream>> {
        let output = self.calls().output(descriptor, Some(offset))?;
        let output: DynOutputStream = Box::new(output);
        Ok(self.files.table.push(output)?)
    }

    fn append_via_stream(
        &mut self,
        descriptor: Resource<Descriptor>,
    ) -> FsResult<Resource<DynOutputStream>> {
        let output = self.calls().output(descriptor, None)?;
        let output: DynOutputStream = Box::new(output);
        Ok(self.files.table.push(output)?)
    }

    async fn set_size(&mut self, descriptor: Resource<Descriptor>, size: Filesize) -> FsResult<()> {
        self.calls().set_size(descriptor, size).await
    }

    async fn write(
        &mut self,
        descriptor: Resource<Descriptor>,
        bytes: Vec<u8>,
        offset: Filesize,
    ) -> FsResult<Filesize> {
        self.calls().write(descriptor, bytes, offset).await
    }

    async fn open_at(
        &mut self,
        descriptor: Resource<Descriptor>,
        path_flags: PathFlags,
        path: String,
        open_flags: OpenFlags,
        flags: DescriptorFlags,
    ) -> FsResult<Resource<Descriptor>> {
        self.calls()
            .open_at(descriptor, path_flags, path, open_flags, flags)
            .await
    }

    async fn create_directory_at(
        &mut self,
        descriptor: Resource<Descriptor>,
        path: String,
    ) -> FsResult<()> {
        self.calls().create_directory_at(descriptor, path).await
    }

    async fn link_at(
        &mut self,
        descriptor: Resource<Descriptor>,
        path_flags: PathFlags,
        path: String,
        new_descriptor: Resource<Descriptor>,
        new_path: String,
    ) -> FsResult<()> {
        self.calls()
            .link_at(descriptor, path_flags, path, new_descriptor, new_path)
            .await
    }

    async fn remove_directory_at(
        &mut self,
        descriptor: Resource<Descriptor>,
        path: String,
    ) -> FsResult<()> {
        self.calls().remove_directory_at(descriptor, path).await
    }

    async fn rename_at(
        &mut self,
        descriptor: Resource<Descriptor>,
        path: String,
        new_descriptor: Resource<Descriptor>,
        new_path: String,
    ) -> FsResult<()> {
        self.calls()
            .rename_at(descriptor, path, new_descriptor, new_path)
            .await
    }

    async fn symlink_at(
        &mut self,
        descriptor: Resource<Descriptor>,
        target: String,
        path: String,
    ) -> FsResult<()> {
        self.calls().symlink_at(descriptor, target, path).await
    }

    async fn unlink_file_at(
        &mut self,
        descriptor: Resource<Descriptor>,
        path: String,
    ) -> FsResult<()> {
        self.calls().unlink_file_at(descriptor, path).await
    }

    fn drop(&mut self, descriptor: Resource<Descriptor>) -> wasmtime::Result<()> {
        HostDescriptor::drop(&mut self.files, descriptor)
    }
}

impl HostDirectoryEntryStream for CountedView<'_> {
    async fn read_directory_entry(
        &mut self,
        stream: Resource<DirectoryEntryStream>,
    ) -> FsResult<Option<DirectoryEntry>> {
        self.files.read_directory_entry(stream).await
    }

    fn drop(&mut self, stream: Resource<DirectoryEntryStream>) -> wasmtime::Result<()> {
        HostDirectoryEntryStream::drop(&mut self.files, stream)?;
        self.listings.end();
        Ok(())
    }
}
