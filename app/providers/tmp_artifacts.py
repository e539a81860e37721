import asyncio, hashlib, pathlib, shutil


class A:
    def __init__(self, root):
        self.root = pathlib.Path(root)

    def _put(self, run_id, content):
        h = hashlib.sha256(content).hexdigest()
        d = self.root / str(run_id)
        d.mkdir(parents=True, exist_ok=True)
        (d / h).write_bytes(content)
        return h

    async def put(self, *a):
        return await asyncio.to_thread(self._put, *a)

    async def get(self, run_id, h):
        return await asyncio.to_thread(lambda: (self.root / str(run_id) / h).read_bytes())

    async def delete_run(self, run_id):
        await asyncio.to_thread(shutil.rmtree, self.root / str(run_id), True)
