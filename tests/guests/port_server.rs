//! A web server of its own: it listens on $PORT with std::net and speaks HTTP/1.1 by itself.

use std::io::{self, BufRead, BufReader, BufWriter, Read, Write};
use std::net::{TcpListener, TcpStream};

fn main() -> io::Result<()> {
    let port: u16 = std::env::var("PORT").map_or(5000, |port| port.parse().unwrap());
    let listener = TcpListener::bind(("0.0.0.0", port))?;
    println!("listening on {}", listener.local_addr()?);
    for connection in listener.incoming() {
        if let Err(error) = serve(&connection?) {
            println!("a connection broke off: {error}");
        }
    }
    Ok(())
}

/// Answers requests until the client ends the connection.
fn serve(connection: &TcpStream) -> io::Result<()> {
    let (mut input, mut output) = (BufReader::new(connection), BufWriter::new(connection));
    let mut line = String::new();
    while input.read_line(&mut line)? > 0 {
        let path = line.split(' ').nth(1).unwrap_or("/").to_owned();
        let mut body = vec![0; content_length(&mut input)?];
        input.read_exact(&mut body)?;
        if path == "/exit" {
            std::process::exit(1);
        }
        if body.is_empty() {
            body = format!("hello from {path}\n").into_bytes();
        }
        write!(output, "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len())?;
        output.write_all(&body)?;
        output.flush()?;
        line.clear();
    }
    Ok(())
}

/// Reads the fields of a request's head.
fn content_length(input: &mut impl BufRead) -> io::Result<usize> {
    let mut length = 0;
    loop {
        let mut field = String::new();
        input.read_line(&mut field)?;
        match field.trim_end().split_once(':') {
            Some((name, value)) if name.eq_ignore_ascii_case("content-length") => {
                length = value.trim().parse().unwrap();
            }
            Some(_) => {}
            None => return Ok(length),
        }
    }
}
