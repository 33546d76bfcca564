import time

from tasks import work

result = work.delay()
while result.state == "PENDING":
    time.sleep(0.02)
print("started", flush=True)
print(result.get(timeout=30))
