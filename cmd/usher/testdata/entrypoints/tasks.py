import time

from celery import Celery

app = Celery("tasks", broker="redis://127.0.0.1:6379/0", backend="redis://127.0.0.1:6379/1")
app.conf.task_track_started = True


@app.task
def work():
    time.sleep(1.2)
    return "finished"
