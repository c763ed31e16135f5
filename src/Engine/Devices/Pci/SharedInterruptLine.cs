namespace Hypervisor.Engine.Devices.Pci;

/// <summary>A level-triggered line that several functions pull: asserted while any of them asserts it.</summary>
internal sealed class SharedInterruptLine(IInterruptLine target)
{
    private readonly Lock _lock = new();
    private int _asserted;

    public IInterruptLine CreateInput() => new Input(this);

    private sealed class Input(SharedInterruptLine line) : IInterruptLine
    {
        private bool _asserted;

        public void Set(bool asserted)
        {
            lock (line._lock)
            {
                if (asserted == _asserted)
                {
                    return;
                }

                _asserted = asserted;
                int before = line._asserted;
                line._asserted += asserted ? 1 : -1;
                if ((before == 0) != (line._asserted == 0))
                {
                    line.Forward();
                }
            }
        }
    }

    private void Forward() => target.Set(_asserted != 0);
}
