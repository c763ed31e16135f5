using Hypervisor.Engine.Memory.Stores;
using Hypervisor.Engine.Native;

namespace Hypervisor.Tests.Unit.Memory.Stores;

/// <summary>Pages of memory with content made from numbers.</summary>
internal sealed unsafe class TestPages(int count) : IDisposable
{
    private readonly AnonymousMemory _memory = AnonymousMemory.Allocate((nuint)count * PageContent.Size);

    public byte* this[int page] => (byte*)_memory.Address + page * PageContent.Size;

    public Span<byte> Span(int page) => new(this[page], PageContent.Size);

    public Span<ulong> Words(int page) => new(this[page], PageContent.Size / sizeof(ulong));

    /// <summary>Content that does not compress, one for each number.</summary>
    public byte* FillRandom(int page, int seed)
    {
        new Random(seed).NextBytes(Span(page));
        return this[page];
    }

    /// <summary>Content that compresses to somewhat more than <paramref name="randomBytes"/>.</summary>
    public byte* FillPartly(int page, int seed, int randomBytes)
    {
        Span(page).Clear();
        new Random(seed).NextBytes(Span(page)[..randomBytes]);
        return this[page];
    }

    public void Dispose() => _memory.Dispose();
}
