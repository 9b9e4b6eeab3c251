//! The calls that open, make, remove and move files, in order and counted. Both versions of WASI share them.

use super::account::{End, FileAccount};
use super::output::CountedOutput;
use super::shared_tree::SharedTree;
use std::fs::File;
use std::os::unix::fs::MetadataExt;
use std::sync::Arc;
use wasmtime::component::Resource;
use wasmtime_wasi::FsPerms;
use wasmtime_wasi::filesystem::{Descriptor, Dir, WasiFilesystemCtxView};
use wasmtime_wasi::p2::bindings::filesystem::types::{
    DescriptorFlags, DescriptorType, ErrorCode, HostDescriptor, OpenFlags, PathFlags,
};
use wasmtime_wasi::p2::{FsError, FsResult, OutputStream};

/// One call of a guest: the instance's file system, the dyno's account and the tree that it shares.
pub(super) struct Calls<'a, 'v> {
    pub(super) files: &'a mut WasiFilesystemCtxView<'v>,
    pub(super) account: &'a Arc<FileAccount>,
    pub(super) tree: Option<&'a Arc<SharedTree>>,
}

impl Calls<'_, '_> {
    pub(super) async fn open_at(
        &mut self,
        directory: Resource<Descriptor>,
        path_flags: PathFlags,
        path: String,
        open_flags: OpenFlags,
        flags: DescriptorFlags,
    ) -> FsResult<Resource<Descriptor>> {
        let changes = open_flags.intersects(OpenFlags::CREATE | OpenFlags::TRUNCATE);
        if changes || flags.contains(DescriptorFlags::WRITE) {
            self.own(&directory).await?;
        } else {
            self.redirect(&directory)?;
        }
        if !self.account.may_open() {
            // WASI has no word for "too many open files".
            return Err(ErrorCode::InsufficientMemory.into());
        }
        if self.directory(&directory)?.perms == FsPerms::ReadOnly {
            let opened = self
                .files
                .open_at(directory, path_flags, path, open_flags, flags)
                .await?;
            self.account.opened_other(&self.handle(&opened)?);
            return Ok(opened);
        }
        let account = self.account.clone();
        let _changes = account.changes.lock().await;
        let before = if changes {
            let there = borrow(&directory);
            self.files
                .stat_at(there, path_flags, path.clone())
                .await
                .ok()
        } else {
            None
        };
        let creates = before.is_none() && open_flags.contains(OpenFlags::CREATE);
        if creates && !self.account.may_add_entry() {
            return Err(ErrorCode::InsufficientSpace.into());
        }
        let opened = self
            .files
            .open_at(directory, path_flags, path, open_flags, flags)
            .await?;
        if creates {
            self.account.entry_added();
        }
        let size_before = before
            .filter(|before| before.type_ == DescriptorType::RegularFile)
            .map(|before| before.size);
        self.count(&opened, size_before)?;
        Ok(opened)
    }

    pub(super) async fn create_directory_at(
        &mut self,
        directory: Resource<Descriptor>,
        path: String,
    ) -> FsResult<()> {
        self.own(&directory).await?;
        let account = self.account.clone();
        let _changes = account.changes.lock().await;
        self.may_add_entry()?;
        self.files.create_directory_at(directory, path).await?;
        account.entry_added();
        Ok(())
    }

    pub(super) async fn symlink_at(
        &mut self,
        directory: Resource<Descriptor>,
        target: String,
        path: String,
    ) -> FsResult<()> {
        self.own(&directory).await?;
        let account = self.account.clone();
        let _changes = account.changes.lock().await;
        self.may_add_entry()?;
        self.files.symlink_at(directory, target, path).await?;
        account.entry_added();
        Ok(())
    }

    pub(super) async fn link_at(
        &mut self,
        directory: Resource<Descriptor>,
        path_flags: PathFlags,
        path: String,
        new_directory: Resource<Descriptor>,
        new_path: String,
    ) -> FsResult<()> {
        self.own(&directory).await?;
        self.own(&new_directory).await?;
        let account = self.account.clone();
        let _changes = account.changes.lock().await;
        self.may_add_entry()?;
        self.files
            .link_at(directory, path_flags, path, new_directory, new_path)
            .await?;
        account.entry_added();
        Ok(())
    }

    pub(super) async fn unlink_file_at(
        &mut self,
        directory: Resource<Descriptor>,
        path: String,
    ) -> FsResult<()> {
        self.own(&directory).await?;
        let account = self.account.clone();
        let _changes = account.changes.lock().await;
        let removed = self.look_at(&directory, &path).await;
        self.files.unlink_file_at(directory, path).await?;
        drop(removed);
        account.entry_removed();
        account.forget_closed();
        Ok(())
    }

    pub(super) async fn remove_directory_at(
        &mut self,
        directory: Resource<Descriptor>,
        path: String,
    ) -> FsResult<()> {
        self.own(&directory).await?;
        let account = self.account.clone();
        let _changes = account.changes.lock().await;
        self.files.remove_directory_at(directory, path).await?;
        account.entry_removed();
        Ok(())
    }

    pub(super) async fn rename_at(
        &mut self,
        directory: Resource<Descriptor>,
        path: String,
        new_directory: Resource<Descriptor>,
        new_path: String,
    ) -> FsResult<()> {
        self.own(&directory).await?;
        self.own(&new_directory).await?;
        let account = self.account.clone();
        let _changes = account.changes.lock().await;
        let moved = self.look_at(&directory, &path).await;
        let there = borrow(&new_directory);
        let replaces = self
            .files
            .stat_at(there, PathFlags::empty(), new_path.clone())
            .await
            .is_ok();
        let replaced = self.look_at(&new_directory, &new_path).await;
        self.files
            .rename_at(directory, path, new_directory, new_path)
            .await?;
        // Two links to one file: the system does nothing, and both stay.
        let same = matches!((&moved, &replaced), (Some(one), Some(other)) if is_same(one, other));
        drop((moved, replaced));
        if replaces && !same {
            account.entry_removed();
        }
        account.forget_closed();
        Ok(())
    }

    /// Before a change: a handle of the shared tree becomes one of a copy.
    pub(super) async fn own(&mut self, descriptor: &Resource<Descriptor>) -> FsResult<()> {
        let Some(tree) = self.tree else {
            return Ok(());
        };
        tree.own(self.files.table.get(descriptor)?).await?;
        self.redirect(descriptor)
    }

    /// Before anything else: a handle of the shared tree becomes one of the copy, if there is one.
    pub(super) fn redirect(&mut self, descriptor: &Resource<Descriptor>) -> FsResult<()> {
        if let Some(tree) = self.tree.filter(|tree| tree.is_private()) {
            tree.redirect(self.files.table.get_mut(descriptor)?)?;
        }
        Ok(())
    }

    pub(super) async fn set_size(
        &mut self,
        descriptor: Resource<Descriptor>,
        size: u64,
    ) -> FsResult<()> {
        let _growth = match self.writable_file(&descriptor)? {
            Some(file) => Some(self.account.grow(&file, End::At(size))?),
            None => None,
        };
        self.files.set_size(descriptor, size).await
    }

    pub(super) async fn write(
        &mut self,
        descriptor: Resource<Descriptor>,
        bytes: Vec<u8>,
        offset: u64,
    ) -> FsResult<u64> {
        let end = offset.saturating_add(bytes.len() as u64);
        let _growth = match self.writable_file(&descriptor)? {
            Some(file) => Some(self.account.grow(&file, End::At(end))?),
            None => None,
        };
        self.files.write(descriptor, bytes, offset).await
    }

    /// A stream that writes from `offset` on, or at the file's end.
    pub(super) fn output(
        &mut self,
        descriptor: Resource<Descriptor>,
        offset: Option<u64>,
    ) -> FsResult<CountedOutput> {
        let file = self.writable_file(&descriptor)?;
        let stream = match offset {
            Some(offset) => self.files.write_via_stream(descriptor, offset)?,
            None => self.files.append_via_stream(descriptor)?,
        };
        let stream: Box<dyn OutputStream> = self.files.table.delete(stream)?;
        let file = file.ok_or(ErrorCode::BadDescriptor)?;
        Ok(CountedOutput::new(
            stream,
            file,
            offset,
            self.account.clone(),
        ))
    }

    fn may_add_entry(&self) -> FsResult<()> {
        if self.account.may_add_entry() {
            Ok(())
        } else {
            Err(ErrorCode::InsufficientSpace.into())
        }
    }

    fn directory(&self, descriptor: &Resource<Descriptor>) -> FsResult<&Dir> {
        match self.files.table.get(descriptor)? {
            Descriptor::Dir(directory) => Ok(directory),
            Descriptor::File(_) => Err(ErrorCode::NotDirectory.into()),
        }
    }

    /// The file that a guest may write to; what is wrong with any other descriptor is wasmtime's to say.
    fn writable_file(&self, descriptor: &Resource<Descriptor>) -> FsResult<Option<Arc<File>>> {
        Ok(match self.files.table.get(descriptor)? {
            Descriptor::File(file) if file.perms == FsPerms::ReadWrite => Some(file.file.clone()),
            _ => None,
        })
    }

    fn handle(&self, descriptor: &Resource<Descriptor>) -> FsResult<Arc<File>> {
        Ok(match self.files.table.get(descriptor)? {
            Descriptor::File(file) => file.file.clone(),
            Descriptor::Dir(directory) => directory.dir.clone(),
        })
    }

    fn count(&self, opened: &Resource<Descriptor>, size_before: Option<u64>) -> FsResult<()> {
        let handle = self.handle(opened)?;
        match self.files.table.get(opened)? {
            Descriptor::File(_) => self.account.opened(&handle, size_before)?,
            Descriptor::Dir(_) => self.account.opened_other(&handle),
        }
        Ok(())
    }

    /// Holds open what is about to go, so that its size is known afterwards. Nothing for what is no file.
    async fn look_at(&mut self, directory: &Resource<Descriptor>, path: &str) -> Option<Arc<File>> {
        let opened = self
            .files
            .open_at(
                borrow(directory),
                PathFlags::empty(),
                path.to_owned(),
                OpenFlags::empty(),
                DescriptorFlags::READ,
            )
            .await
            .ok()?;
        let counted = self.count(&opened, None);
        match (counted, self.files.table.delete(opened)) {
            (Ok(()), Ok(Descriptor::File(file))) => Some(file.file),
            _ => None,
        }
    }
}

fn borrow(descriptor: &Resource<Descriptor>) -> Resource<Descriptor> {
    Resource::new_borrow(descriptor.rep())
}

fn is_same(one: &File, other: &File) -> bool {
    match (one.metadata(), other.metadata()) {
        (Ok(one), Ok(other)) => (one.dev(), one.ino()) == (other.dev(), other.ino()),
        _ => false,
    }
}

/// What a call of one version of WASI says of an error to another.
pub(super) fn error_code(error: FsError) -> wasmtime::Result<ErrorCode> {
    error.downcast()
}
