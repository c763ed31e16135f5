namespace Hypervisor.Engine.Memory.Stores;

/// <summary>
/// A few objects that threads use one at a time. In the steady state nothing is allocated; when more threads come at once than there
/// are places, the surplus is made and disposed of.
/// </summary>
internal sealed class ObjectPool<T>(Func<T> make) : IDisposable where T : class, IDisposable
{
    private readonly T?[] _places = new T?[Math.Clamp(Environment.ProcessorCount * 2, 2, 64)];
    private volatile bool _disposed;

    /// <summary>Takes an object, which nobody else uses until <see cref="Return"/>.</summary>
    public T Rent()
    {
        for (int i = 0; i < _places.Length; i++)
        {
            if (Volatile.Read(ref _places[i]) is not null && Interlocked.Exchange(ref _places[i], null) is { } item)
            {
                return item;
            }
        }

        return make();
    }

    /// <summary>Gives an object back.</summary>
    public void Return(T item)
    {
        if (!_disposed)
        {
            for (int i = 0; i < _places.Length; i++)
            {
                if (Interlocked.CompareExchange(ref _places[i], item, null) is null)
                {
                    if (_disposed)
                    {
                        Drain();
                    }

                    return;
                }
            }
        }

        item.Dispose();
    }

    /// <summary>Disposes of the objects that are not in use, and of the others as they come back.</summary>
    public void Dispose()
    {
        _disposed = true;
        Drain();
    }

    private void Drain()
    {
        for (int i = 0; i < _places.Length; i++)
        {
            Interlocked.Exchange(ref _places[i], null)?.Dispose();
        }
    }
}
