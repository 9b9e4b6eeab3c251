//! Compiles a source into a slug: `compile [--data-dir DIR] [--buildpack NAME]... SOURCE -o APP.slug`.

use std::path::PathBuf;

use anyhow::{Context, bail};
use dyno_buildpacks::{BuildEvent, Cancellation, CompileRequest, Compiler, CompilerFolders};

const USAGE: &str =
    "usage: compile [--data-dir DIR] [--dyno PROGRAM] [--buildpack NAME]... SOURCE -o APP.slug";

fn main() -> anyhow::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let (mut source, mut slug, mut dyno) = (None, None, None);
    let mut data = std::env::temp_dir().join("dyno-compile");
    let mut buildpacks = Vec::new();
    while let Some(argument) = arguments.next() {
        let mut value = || arguments.next().context(USAGE);
        match argument.as_str() {
            "-o" => slug = Some(PathBuf::from(value()?)),
            "--data-dir" => data = PathBuf::from(value()?),
            "--dyno" => dyno = Some(PathBuf::from(value()?)),
            "--buildpack" => buildpacks.push(value()?),
            other if source.is_none() => source = Some(PathBuf::from(other)),
            _ => bail!(USAGE),
        }
    }
    let (Some(source), Some(slug)) = (source, slug) else {
        bail!(USAGE)
    };
    let compiler = Compiler::new(CompilerFolders {
        work: data.join("work"),
        caches: data.join("caches"),
        toolchains: data.join("toolchains"),
        buildpacks: data.join("buildpacks"),
    })?
    // The other example of this crate knows what buildpacks ask of `$DYNO`.
    .dyno_executable(match dyno {
        Some(dyno) => dyno,
        None => std::env::current_exe()?.with_file_name("component"),
    })
    .slug_cache(data.join("slugs"));
    let mut request = CompileRequest::new(source, slug);
    request.buildpacks = buildpacks;
    let slug = compiler.compile(&request, &Cancellation::new(), &mut |event| match event {
        BuildEvent::Line(line) => println!("{line}"),
        BuildEvent::StepEnded(step, time) => eprintln!("({}: {time:.1?})", step.words()),
        _ => {}
    })?;
    println!("{}", slug.digest);
    Ok(())
}
