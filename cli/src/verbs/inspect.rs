//! `dyno inspect`: what is in a slug, without unpacking or running it.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::Args;
use dyno_buildpacks::component;
use dyno_slug::{Digest, ProcessType, SlugFile};
use serde_json::{Value, json};

use crate::say;

#[derive(Args, Debug)]
pub struct Arguments {
    /// The slug
    slug: PathBuf,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let slug = SlugFile::open(&arguments.slug)?;
    // A summary of bytes that are not what they claim to be would be worth nothing.
    slug.verify()?;
    let description = describe(&slug)?;
    if arguments.json {
        say::line(serde_json::to_string_pretty(&description)?);
    } else {
        print(&description);
    }
    Ok(ExitCode::SUCCESS)
}

fn describe(slug: &SlugFile) -> anyhow::Result<Value> {
    let manifest = slug.manifest();
    let components: Vec<Value> = manifest
        .components
        .iter()
        .map(|blob| {
            let bytes = slug.component(&blob.digest)?;
            let read = || format!("component {} cannot be looked at", blob.digest);
            let imports = component::imports(&bytes).with_context(read)?;
            Ok(json!({
                "digest": blob.digest.to_string(),
                "size": blob.size,
                "kind": component::kind(&bytes).with_context(read)?.to_string(),
                "imports": imports.iter().map(|import| &import.name).collect::<Vec<_>>(),
                "unmet_imports": component::unmet_imports(&bytes).with_context(read)?,
            }))
        })
        .collect::<anyhow::Result<_>>()?;
    let processes: serde_json::Map<String, Value> = manifest
        .process_types
        .iter()
        .map(|(name, process)| (name.to_string(), describe_process(process)))
        .collect();
    Ok(json!({
        "digest": slug.digest().to_string(),
        "format_version": manifest.format_version,
        "stack": manifest.stack,
        "size": slug.blobs().iter().map(|blob| blob.size).sum::<u64>(),
        "buildpacks": manifest.buildpacks.iter()
            .map(|pack| json!({ "name": pack.name, "version": pack.version }))
            .collect::<Vec<_>>(),
        "process_types": processes,
        "default_config_vars": manifest.default_config_vars,
        "components": components,
        "layers": manifest.layers.iter()
            .map(|layer| json!({
                "digest": layer.digest.to_string(),
                "mount": layer.mount.to_string(),
                "size": layer.size,
                "unpacked_size": layer.unpacked_size,
            }))
            .collect::<Vec<_>>(),
    }))
}

fn describe_process(process: &ProcessType) -> Value {
    json!({
        "command": process.command,
        "world": process.world.as_str(),
        "component": process.component.as_ref().map(Digest::to_string),
        "arguments": process.arguments,
        "environment": process.environment,
        "boot": process.boot,
        "reuse": process.reuse,
        "static": process.static_site,
    })
}

fn print(slug: &Value) {
    say::heading(text(&slug["digest"]));
    let packs: Vec<String> = list(&slug["buildpacks"])
        .map(|pack| format!("{} {}", text(&pack["name"]), text(&pack["version"])))
        .collect();
    say::line(format!("Stack:       {}", text(&slug["stack"])));
    say::line(format!("Buildpacks:  {}", packs.join(", ")));
    say::line(format!("Size:        {}", bytes(&slug["size"])));
    for (name, process) in slug["process_types"].as_object().into_iter().flatten() {
        say::line("");
        say::heading(format!("{name}: {}", text(&process["command"])));
        say::line(format!("World:       {}", text(&process["world"])));
        if let Some(digest) = process["component"].as_str() {
            say::line(format!("Component:   {digest}"));
        }
        say::line(format!("Boot:        {}", text(&process["boot"])));
        say::line(format!("Reuse:       {}", text(&process["reuse"])));
    }
    for component in list(&slug["components"]) {
        say::line("");
        say::heading(text(&component["digest"]));
        say::line(format!("Kind:        {}", text(&component["kind"])));
        say::line(format!("Size:        {}", bytes(&component["size"])));
        for (number, import) in list(&component["imports"]).enumerate() {
            let label = if number == 0 { "Imports:" } else { "" };
            say::line(format!("{label:<13}{}", text(import)));
        }
        for import in list(&component["unmet_imports"]) {
            say::line(say::yellow(format!("Not provided: {}", text(import))));
        }
    }
    say::line("");
    say::heading("Layers");
    for layer in list(&slug["layers"]) {
        let (size, unpacked) = (bytes(&layer["size"]), bytes(&layer["unpacked_size"]));
        let mount = text(&layer["mount"]);
        say::line(format!(
            "{mount:<12} {} ({size}, {unpacked} unpacked)",
            text(&layer["digest"])
        ));
    }
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

/// Words of the slug, which may be anybody's.
fn text(value: &Value) -> String {
    say::terminal_safe(value.as_str().unwrap_or_default()).into_owned()
}

fn bytes(value: &Value) -> String {
    indicatif::HumanBytes(value.as_u64().unwrap_or_default()).to_string()
}
