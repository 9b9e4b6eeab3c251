//! The examples, run as an embedder would run them.

use crate::app::{Host, Lines, PATIENCE, until};
use dyno_runtime::{ExitStatus, Formation, FormationOptions, Process, ProcessSpec};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

#[allow(dead_code, reason = "main is for the command line")]
#[path = "../../examples/host_interface.rs"]
mod host_interface;
#[allow(dead_code, reason = "main is for the command line")]
#[path = "../../examples/hyper_server.rs"]
mod hyper_server;
#[allow(dead_code, reason = "main is for the command line")]
#[path = "../../examples/in_process.rs"]
mod in_process;
#[allow(dead_code, reason = "main is for the command line")]
#[path = "../../examples/log_and_metrics.rs"]
mod log_and_metrics;
#[allow(dead_code, reason = "main is for the command line")]
#[path = "../../examples/run_command.rs"]
mod run_command;

#[tokio::test]
async fn a_request_needs_no_socket() {
    let host = Host::new();
    let state = host.directory.path().join("another");
    let answer = in_process::get(host.slug("c-hello"), &state, "/hello?name=you").await;
    assert_eq!(answer.unwrap().trim_end(), "Hello, you!");
}

#[tokio::test]
async fn a_hyper_server_answers_with_a_formation() {
    let host = Host::new();
    let process = host.process("c-hello").await;
    let app = Formation::start(&host.runtime, &process, FormationOptions::default());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let serving = tokio::spawn(hyper_server::serve(listener, app));
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = b"GET /hello?name=hyper HTTP/1.1\r\nhost: app\r\nconnection: close\r\n\r\n";
    stream.write_all(request).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.contains("Hello, hyper!"), "{answer}");
    serving.abort();
}

#[tokio::test]
async fn a_command_is_run_from_a_library() {
    let host = Host::new();
    let slug = host.command_slug("says_arguments");
    let lines = Arc::new(Lines::default());
    let arguments = vec!["says".into(), "hello".into()];
    let state = host.directory.path().join("another");
    let status = run_command::run(slug, &state, "web", arguments, lines.clone()).await;
    assert_eq!(status.unwrap(), ExitStatus::Exited(7));
    assert_eq!(lines.app(), ["hello"]);
}

#[tokio::test]
async fn a_guest_calls_an_interface_of_the_embedders() {
    let directory = tempfile::tempdir().unwrap();
    let (status, visits) = host_interface::count(directory.path()).await.unwrap();
    assert_eq!((status, visits), (ExitStatus::Exited(0), 3));
}

#[tokio::test]
async fn figures_and_lines_reach_the_embedder() {
    let host = Host::new();
    let state = host.directory.path().join("another");
    let figures = log_and_metrics::serve(host.slug("c-hello"), &state).await;
    let figures = figures.unwrap();
    assert_eq!(figures.requests.load(Ordering::Relaxed), 3);
    assert_eq!(figures.failures.load(Ordering::Relaxed), 0);
    assert!(figures.log_lines.load(Ordering::Relaxed) >= 2);
    assert!(figures.memory_bytes.load(Ordering::Relaxed) >= 64 * 1024);
}

#[test]
fn every_thread_ends_with_the_runtime() {
    let of_this_process = || std::fs::read_dir("/proc/self/task").unwrap().count();
    // In a process of its own: other tests start and end threads meanwhile.
    if std::env::var_os("DYNO_TEST_THREADS").is_none() {
        let test = "examples::every_thread_ends_with_the_runtime";
        let status = std::process::Command::new(std::env::current_exe().unwrap())
            .args(["--exact", test, "--test-threads=1"])
            .env("DYNO_TEST_THREADS", "1")
            .status();
        assert!(status.unwrap().success());
        return;
    }
    let before = of_this_process();
    let embedder = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    embedder.block_on(async {
        let host = Host::new();
        let spec = ProcessSpec::new("app", host.slug("c-hello"), "web".parse().unwrap());
        let process = Process::load(&host.runtime, spec).await.unwrap();
        let app = Formation::start(&host.runtime, &process, FormationOptions::default());
        app.wait_up().await;
        assert!(of_this_process() > before);
        app.drain(PATIENCE).await;
        drop((app, process, host));
        until("the threads to end", || of_this_process() <= before).await;
    });
}
