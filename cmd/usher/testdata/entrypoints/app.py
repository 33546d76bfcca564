import time


def application(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    yield b"started\n"
    time.sleep(1.2)
    yield b"finished\n"
