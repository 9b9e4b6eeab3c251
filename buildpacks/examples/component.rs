//! What buildpacks ask of `$DYNO`, from a shell: `component kind FILE`, `component adapt IN -o OUT`, `precompress DIR`, ….

use std::path::PathBuf;

use anyhow::{Context, bail};
use dyno_buildpacks::component::{self, AdaptOptions};

const USAGE: &str = "usage: component kind FILE
       component imports|exports|unmet FILE
       precompress DIR
       component adapt [--world web|web-boot|worker] [--realloc-via-memory-grow] IN.wasm -o OUT.wasm";

fn main() -> anyhow::Result<()> {
    let mut arguments: Vec<String> = std::env::args().skip(1).collect();
    // `"$DYNO" component kind …` works with this program as well.
    if arguments.first().is_some_and(|first| first == "component") {
        arguments.remove(0);
    }
    if let [verb, directory] = arguments.as_slice()
        && verb == "precompress"
    {
        let done = dyno_buildpacks::precompress(directory.as_ref())?;
        println!("{done}");
        return Ok(());
    }
    let Some((verb, rest)) = arguments.split_first() else {
        bail!(USAGE)
    };
    if verb == "adapt" {
        return adapt(rest);
    }
    let [file] = rest else { bail!(USAGE) };
    let bytes = std::fs::read(file).with_context(|| format!("cannot read {file}"))?;
    match verb.as_str() {
        "kind" => println!("{}", component::kind(&bytes)?),
        "imports" => {
            for import in component::imports(&bytes)? {
                println!("{}", import.name);
            }
        }
        "exports" => component::exports(&bytes)?
            .iter()
            .for_each(|name| println!("{name}")),
        "unmet" => component::unmet_imports(&bytes)?
            .iter()
            .for_each(|name| println!("{name}")),
        _ => bail!(USAGE),
    }
    Ok(())
}

fn adapt(arguments: &[String]) -> anyhow::Result<()> {
    let mut options = AdaptOptions::default();
    let (mut input, mut output) = (None, None);
    let mut arguments = arguments.iter();
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--world" => {
                let name = arguments.next().context(USAGE)?;
                options.world = Some(name.parse().map_err(anyhow::Error::msg)?);
            }
            "--realloc-via-memory-grow" => options.realloc_via_memory_grow = true,
            "-o" => output = Some(PathBuf::from(arguments.next().context(USAGE)?)),
            other if input.is_none() => input = Some(PathBuf::from(other)),
            _ => bail!(USAGE),
        }
    }
    let (Some(input), Some(output)) = (input, output) else {
        bail!(USAGE)
    };
    let bytes =
        std::fs::read(&input).with_context(|| format!("cannot read {}", input.display()))?;
    let made = component::adapt(&bytes, &options)
        .with_context(|| format!("cannot adapt {}", input.display()))?;
    std::fs::write(&output, made).with_context(|| format!("cannot write {}", output.display()))
}
