using Hypervisor.Engine.Memory.Stores;

namespace Hypervisor.Tests.Unit.Memory.Stores;

public unsafe class PageArenaTests
{
    [Fact]
    public void Random_orders_hand_out_each_page_once_and_keep_its_content()
    {
        using var arena = new PageArena(10_000, 64);
        var random = new Random(9);
        var held = new List<(int Page, ulong Mark)>();
        var pages = new HashSet<int>();
        for (int step = 0; step < 200_000; step++)
        {
            // Waves: chunks come and go.
            bool grow = random.Next(100) < (step / 25_000 % 2 == 0 ? 60 : 40);
            if (grow)
            {
                int page = arena.Allocate();
                Assert.Equal(held.Count == 10_000, page == PageArena.None);
                if (page != PageArena.None)
                {
                    Assert.True(pages.Add(page));
                    ulong mark = ((ulong)step << 32) | (uint)page;
                    *(ulong*)(arena.Address(page) + 4088) = mark;
                    arena.Data<(ulong, ulong)>(page)->Item2 = ~mark;
                    held.Add((page, mark));
                }
            }
            else if (held.Count > 0)
            {
                int at = random.Next(held.Count);
                var (page, mark) = held[at];
                Assert.Equal(mark, *(ulong*)(arena.Address(page) + 4088));
                Assert.Equal(~mark, arena.Data<(ulong, ulong)>(page)->Item2);
                arena.Free(page);
                pages.Remove(page);
                held[at] = held[^1];
                held.RemoveAt(held.Count - 1);
            }

            Assert.Equal(held.Count, arena.Allocated);
        }

        held.ForEach(one => arena.Free(one.Page));
        Assert.InRange(arena.HeldBytes, 0, 64 * 4096 + 32 * 1024);
    }

    [Fact]
    public void An_arena_holds_no_more_than_it_may()
    {
        using var arena = new PageArena(1025, 0);
        for (int i = 0; i < 1025; i++)
        {
            Assert.Equal(i, arena.Allocate());
        }

        Assert.Equal(PageArena.None, arena.Allocate());
        arena.Free(1024);
        Assert.Equal(1024, arena.Allocate());
    }

    [Fact]
    public void The_lowest_chunk_with_room_is_filled_first_so_that_others_become_empty()
    {
        using var arena = new PageArena(1 << 20, 0);
        for (int i = 0; i < 4096; i++)
        {
            arena.Allocate();
        }

        long full = arena.HeldBytes;
        for (int i = 0; i < 3072; i++)
        {
            arena.Free(i + (i < 1024 ? 0 : 1024));
        }

        Assert.InRange(arena.HeldBytes, 1024 * 4096, full - (3072 * 4096) - (2 * 20 * 1024));
        Assert.InRange(arena.Allocate(), 0, 1023);
    }
}
