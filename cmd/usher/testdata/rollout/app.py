import time


def application(environ, start_response):
    environ["wsgi.input"].read()
    time.sleep(int(environ["QUERY_STRING"] or 0) / 1000)
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "9")])
    return [b"finished\n"]
