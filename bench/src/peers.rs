//! The servers that are compared, and the files they need.

use anyhow::{Context, bail};
use std::fs;
use std::path::{Path, PathBuf};

use crate::HELLO;
use crate::load::HELLO_PAGE;
use crate::server::Recipe;

const HELLO_02: &str = include_str!("../guests/hello_02.wat");
const HELLO_03: &str = include_str!("../guests/hello_03.wat");

/// The first thing that a hello does.
const BEGIN: &str = "(call $drop-request";

/// The name that every other server's figures are divided by.
pub const CEILING: &str = "raw hyper";
/// The peer, as its users run it.
pub const SERVE: &str = "`wasmtime serve`";
/// The peer, told to keep its instances.
pub const SERVE_REUSE: &str = "`wasmtime serve`, reuse";
/// The product.
pub const DYNO: &str = "dyno";
/// The product without a guest: what its router and its log line cost.
pub const DYNO_FILE: &str = "dyno, a file";
/// The product with an instance for each request.
pub const DYNO_FRESH: &str = "dyno, fresh";
/// The product with a component of wasi:http 0.3.
pub const DYNO_03: &str = "dyno, 0.3";
/// The peer with a component of wasi:http 0.3.
pub const SERVE_03: &str = "`wasmtime serve`, 0.3";

/// Has the peer keep its instances, also while the other servers have their turn: it drops them after a second otherwise.
pub const REUSE_ALWAYS: [&str; 2] = [
    "--max-instance-reuse-count=1000000",
    "--idle-instance-timeout=600s",
];

/// Its first call in an instance answers, every other never ends.
const SPIN: &str = "(if (i32.load (i32.const 128)) (then (loop $spin (br $spin)))) (i32.store (i32.const 128) (i32.const 1))";
/// Some 20 milliseconds of computing before the answer.
const WORK: &str = "(i32.store (i32.const 128) (i32.const 12000000)) (loop $work (i32.store (i32.const 128) \
    (i32.sub (i32.load (i32.const 128)) (i32.const 1))) (br_if $work (i32.load (i32.const 128))))";

/// Where the programs are.
#[derive(Clone, Debug)]
pub struct Programs {
    /// This program, which is the ceiling as well.
    pub bench: PathBuf,
    /// The product.
    pub dyno: PathBuf,
    /// The peer, if it could be had.
    pub wasmtime: Option<PathBuf>,
}

/// Finds the product: beside this program, unless said otherwise.
pub fn find_dyno(said: Option<PathBuf>, bench: &Path) -> anyhow::Result<PathBuf> {
    let path = said.unwrap_or_else(|| bench.with_file_name("dyno"));
    if !path.is_file() {
        bail!(
            "there is no dyno at {}\n  hint: build it with the same profile (cargo build --release -p dyno), or say --dyno PATH",
            path.display()
        );
    }
    Ok(path)
}

/// Writes the guests and the apps that hold them; returns how to start each server.
pub fn prepare(programs: &Programs, work_dir: &Path) -> anyhow::Result<Vec<Recipe>> {
    let mut recipes = vec![ceiling(&programs.bench)];
    let hello_02 = app(work_dir, "hello", HELLO_02, "")?;
    let hello_fresh = app(work_dir, "hello-fresh", HELLO_02, "--reuse=request")?;
    let hello_03 = app(work_dir, "hello-03", HELLO_03, "")?;
    if let Some(wasmtime) = &programs.wasmtime {
        recipes.extend([
            serve(
                wasmtime,
                SERVE,
                "as it comes: a fresh instance for each request",
                &[],
                &component_of(&hello_02),
            ),
            serve(
                wasmtime,
                SERVE_REUSE,
                "told to keep an instance for 1,000,000 requests and 600 s",
                &REUSE_ALWAYS.map(str::to_owned),
                &component_of(&hello_02),
            ),
            serve(
                wasmtime,
                SERVE_03,
                "a component of wasi:http 0.3, told to keep an instance for 1,000,000 requests and 600 s",
                &[
                    "-Sp3",
                    "-Wcomponent-model-async",
                    REUSE_ALWAYS[0],
                    REUSE_ALWAYS[1],
                ]
                .map(str::to_owned),
                &component_of(&hello_03),
            ),
        ]);
    }
    recipes.push(deployed(
        &programs.dyno,
        DYNO,
        "deployed by `dyno up`, served by `dyno serve` as it comes: router, one web dyno, warm instances, a log line for each request",
        "hello.localhost",
        &hello_02,
    ));
    recipes.push(deployed(
        &programs.dyno,
        DYNO_FILE,
        "the same bytes from a static site: router, dyno and log line, and no guest",
        "hello-file.localhost",
        &site(work_dir, "hello-file")?,
    ));
    recipes.push(deployed(
        &programs.dyno,
        DYNO_FRESH,
        "the same with a fresh instance for each request",
        "hello-fresh.localhost",
        &hello_fresh,
    ));
    recipes.push(deployed(
        &programs.dyno,
        DYNO_03,
        "the same with a component of wasi:http 0.3",
        "hello-03.localhost",
        &hello_03,
    ));
    Ok(recipes)
}

/// The hello alone, deployed.
pub fn hello(dyno: &Path, work_dir: &Path) -> anyhow::Result<Recipe> {
    let app = app(work_dir, "hello", HELLO_02, "")?;
    Ok(deployed(dyno, DYNO, "the hello", "hello.localhost", &app))
}

/// The folder of a hello whose component is another one for each number.
pub fn numbered_hello(work_dir: &Path, name: &str, number: u32) -> anyhow::Result<PathBuf> {
    let store = format!("(i32.store (i32.const 128) (i32.const {number})) {BEGIN}");
    app(work_dir, name, &HELLO_02.replace(BEGIN, &store), "")
}

/// A hello, another one for each number, that traps when it is asked for any other path than the root.
pub fn trapping_hello(work_dir: &Path, name: &str, number: u32) -> anyhow::Result<PathBuf> {
    let mut text = HELLO_02.to_owned();
    for (mark, more) in [
        (
            "(export \"[constructor]fields\"",
            "(export \"[method]incoming-request.path-with-query\" \
             (func (param \"self\" (borrow $incoming-request)) (result (option string))))",
        ),
        (
            "(core module $Main",
            "(alias export $http \"[method]incoming-request.path-with-query\" (func $path)) \
             (core func $path (canon lower (func $path) (memory $mem) (realloc $realloc)))",
        ),
        (
            "(import \"host\" \"drop-request\"",
            "(import \"host\" \"path\" (func $path (param i32 i32)))",
        ),
        (
            BEGIN,
            &format!(
                "(i32.store (i32.const 128) (i32.const {number})) (call $path (local.get $request) (i32.const 64)) \
                 (if (i32.ne (i32.load offset=8 (i32.const 64)) (i32.const 1)) (then unreachable))"
            ),
        ),
        ("(export \"drop-request\"", "(export \"path\" (func $path))"),
    ] {
        text = text.replacen(mark, &format!("{more} {mark}"), 1);
    }
    // The path is the one thing that a guest asks to be given.
    text = text.replacen(
        "(result i32) unreachable)",
        "(result i32) (i32.const 1024))",
        1,
    );
    app(work_dir, name, &text, "")
}

/// Hyper alone.
pub fn ceiling(bench: &Path) -> Recipe {
    Recipe {
        name: CEILING,
        about: "hyper 1 alone, one single-threaded runtime for each processor: what the HTTP library itself can do here",
        program: bench.to_owned(),
        deploy: None,
        arguments: vec!["raw-hyper".to_owned(), "{address}".to_owned()],
        host: None,
        page: HELLO_PAGE,
        ready: "ready ".to_owned(),
    }
}

/// Apps of one server that get in each other's way.
#[derive(Clone, Debug)]
pub struct Neighbours {
    /// Answers at once.
    pub hello: Recipe,
    /// Computes before it answers.
    pub work: Recipe,
    /// Does not answer twice.
    pub spin: Recipe,
}

/// Writes the guests of [`Neighbours`].
pub fn neighbours(dyno: &Path, work_dir: &Path) -> anyhow::Result<Neighbours> {
    let busy = |what: &str| HELLO_02.replace(BEGIN, &format!("{what} {BEGIN}"));
    let recipe = |name: &'static str, host, text: &str| -> anyhow::Result<Recipe> {
        let app = app(work_dir, name, text, "")?;
        Ok(deployed(dyno, name, "a neighbour", host, &app))
    };
    Ok(Neighbours {
        hello: recipe("hello", "hello.localhost", HELLO_02)?,
        work: recipe("work", "work.localhost", &busy(WORK))?,
        spin: recipe("spin", "spin.localhost", &busy(SPIN))?,
    })
}

/// An app for the wasm buildpack: a component and the line that runs it.
pub fn app(work_dir: &Path, name: &str, text: &str, options: &str) -> anyhow::Result<PathBuf> {
    let component = wat::parse_str(text).with_context(|| format!("assembling {name}"))?;
    let folder = work_dir.join(name);
    fs::create_dir_all(&folder)?;
    fs::write(folder.join("hello.wasm"), component)?;
    fs::write(
        folder.join("Procfile"),
        format!("web: hello.wasm {options}\n"),
    )?;
    Ok(folder)
}

/// A static site that answers the hello.
fn site(work_dir: &Path, name: &str) -> anyhow::Result<PathBuf> {
    let folder = work_dir.join(name);
    fs::create_dir_all(&folder)?;
    fs::write(folder.join("index.html"), HELLO)?;
    Ok(folder)
}

/// Where its component is.
pub fn component_of(app: &Path) -> PathBuf {
    app.join("hello.wasm")
}

/// `wasmtime serve` on a component.
pub fn serve(
    wasmtime: &Path,
    name: &'static str,
    about: &'static str,
    options: &[String],
    component: &Path,
) -> Recipe {
    let mut arguments = vec!["serve".to_owned(), "--addr={address}".to_owned()];
    arguments.extend_from_slice(options);
    arguments.push(component.display().to_string());
    Recipe {
        name,
        about,
        program: wasmtime.to_owned(),
        deploy: None,
        arguments,
        host: None,
        page: HELLO_PAGE,
        ready: "Serving HTTP on".to_owned(),
    }
}

/// `dyno serve` on a data directory into which the app was deployed: a server in production only serves.
fn deployed(
    dyno: &Path,
    name: &'static str,
    about: &'static str,
    host: &'static str,
    app: &Path,
) -> Recipe {
    let mut data_dir = app.as_os_str().to_owned();
    data_dir.push("-data");
    let platform = platform(dyno, Path::new(&data_dir));
    let mut up = vec!["up".to_owned(), app.display().to_string()];
    up.extend_from_slice(&platform.arguments[1..]);
    Recipe {
        name,
        about,
        deploy: Some(up),
        host: Some(host.to_owned()),
        ..platform
    }
}

/// `dyno serve` on a data directory, whatever is deployed in it.
pub fn platform(dyno: &Path, data_dir: &Path) -> Recipe {
    Recipe {
        name: DYNO,
        about: "served by `dyno serve` as it comes",
        program: dyno.to_owned(),
        deploy: None,
        arguments: vec![
            "serve".to_owned(),
            format!("--data-dir={}", data_dir.display()),
            "--listen={address}".to_owned(),
        ],
        host: None,
        page: HELLO_PAGE,
        ready: "ready ".to_owned(),
    }
}
